"""Draws how the accuracy of an ensemble grows with its members."""

from pathlib import Path

from graft.figures.growth import growth
from graft.figures.style import save_figure
from graft.files import read_csv, record_sums, verified
from graft.jobs import job

with job(snakemake):
    wildcards = snakemake.wildcards
    title = f"Soft vote of members of {wildcards.ensemble} on {wildcards.dataset}, test split"
    figure, table = growth(read_csv(verified(snakemake.input.growth)), title)
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
