"""Draws the trials of a search: their values in order, and against each parameter."""

from pathlib import Path

from graft.figures.style import save_figure
from graft.figures.tuning_history import tuning_history
from graft.files import read_csv, record_sums, verified
from graft.jobs import job

with job(snakemake):
    title = f"Search for {snakemake.wildcards.model} on {snakemake.wildcards.dataset}"
    trials = read_csv(verified(snakemake.input.trials))
    figure, table = tuning_history(trials, snakemake.params.metric, title)
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
