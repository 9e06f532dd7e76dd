"""Draws how the accuracy of an ensemble grows with its members."""

from pathlib import Path

from graft.figures.growth import growth
from graft.figures.style import Style, label, look, save_figure
from graft.files import read_csv, record_sums, verified
from graft.jobs import job

with job(snakemake), look(Style(**snakemake.params.look)):
    title = label("Soft vote of members of {ensemble} on {dataset}, test split", **snakemake.wildcards)
    figure, table = growth(read_csv(verified(snakemake.input.growth)), title)
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
