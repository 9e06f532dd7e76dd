"""Draws the mean ranks of models and ensembles over data sets."""

from pathlib import Path

from graft.comparisons import read_comparison
from graft.figures.critical_difference import critical_difference
from graft.figures.style import MEASURES, Style, label, look, save_figure
from graft.files import record_sums, verified_all
from graft.jobs import job

with job(snakemake), look(Style(**snakemake.params.look)):
    metric = snakemake.wildcards.metric
    tables = {path.stem: read_comparison(path) for path in verified_all(snakemake.input.comparisons)}
    ranks = tables["ranks"][tables["ranks"]["metric"] == metric]
    title = label("Mean ranks by {metric}, test splits", metric=label(MEASURES[metric].name.lower()))
    figure, table = critical_difference(ranks, title)
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
