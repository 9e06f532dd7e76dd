"""Compares every pair of models and ensembles of a data set, and ranks them over data sets."""

from graft.comparisons import pairs_table, ranks_table, scored
from graft.files import record_sums, verified, write_csv
from graft.jobs import job
from graft.predictions import load_predictions

with job(snakemake) as say:
    paths = [*snakemake.input.runs, *snakemake.input.ensembles]
    runs = [
        scored(dataset, name, load_predictions(verified(path)))
        for (dataset, name), path in zip(snakemake.params.names, paths, strict=True)
    ]
    tables = {"pairs": pairs_table(runs), "ranks": ranks_table(runs)}
    for name, table in tables.items():
        write_csv(snakemake.output[name], table)
    record_sums(snakemake.output.sums, [snakemake.output[name] for name in tables])
    say(f"{len(tables['pairs'])} differences of pairs tested")
