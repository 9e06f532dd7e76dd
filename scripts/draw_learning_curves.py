"""Draws how loss and accuracy of a model went over the epochs, for every seed."""

from pathlib import Path

from graft.figures.learning_curves import learning_curves
from graft.figures.style import Style, label, look, save_figure
from graft.files import read_csv, record_sums, verified
from graft.jobs import job

with job(snakemake), look(Style(**snakemake.params.look)):
    seeds = zip(snakemake.params.seeds, snakemake.input.histories, strict=True)
    histories = {seed: read_csv(verified(path)) for seed, path in seeds}
    figure, table = learning_curves(histories, label("{model} on {dataset}", **snakemake.wildcards))
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
