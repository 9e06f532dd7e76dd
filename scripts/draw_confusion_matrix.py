"""Draws which classes of the test split a model or an ensemble takes for which, summed over seeds."""

from pathlib import Path

from graft.figures.confusion_matrix import confusion_matrix
from graft.figures.style import Style, label, look, save_figure
from graft.files import record_sums, verified
from graft.jobs import job
from graft.metrics import confusion_matrix as count_confusions
from graft.predictions import load_predictions

with job(snakemake), look(Style(**snakemake.params.look)):
    predictions = [load_predictions(verified(path)) for path in snakemake.input.predictions]
    tests = [item.splits["test"] for item in predictions]
    counts = sum(count_confusions(test.log_prob, test.label) for test in tests)
    title = label("{name} on {dataset}, test split", **snakemake.wildcards)
    figure, table = confusion_matrix(counts, predictions[0].classes, title)
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
