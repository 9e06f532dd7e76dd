"""Draws the mean ranks of models and ensembles over data sets."""

from pathlib import Path

from graft.comparisons import read_comparison
from graft.figures.critical_difference import critical_difference
from graft.figures.style import MEASURES, save_figure
from graft.files import record_sums, verified_all
from graft.jobs import job

with job(snakemake):
    metric = snakemake.wildcards.metric
    tables = {path.stem: read_comparison(path) for path in verified_all(snakemake.input.comparisons)}
    ranks = tables["ranks"][tables["ranks"]["metric"] == metric]
    figure, table = critical_difference(ranks, f"Mean ranks by {MEASURES[metric].label.lower()}, test splits")
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
