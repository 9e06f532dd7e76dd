"""Draws the test accuracy of every model and ensemble of a data set."""

from pathlib import Path

from graft.figures.model_comparison import model_comparison
from graft.figures.style import Style, label, look, save_figure
from graft.files import read_csv, record_sums, verified
from graft.jobs import job

with job(snakemake), look(Style(**snakemake.params.look)):
    dataset = snakemake.wildcards.dataset
    tables = [read_csv(verified(path)) for path in (snakemake.input.runs, snakemake.input.ensembles)]
    runs, ensembles = (table[(table["dataset"] == dataset) & (table["split"] == "test")] for table in tables)
    figure, table = model_comparison(runs, ensembles, "top1", label("{dataset}, test split", dataset=dataset))
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
