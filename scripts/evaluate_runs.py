"""Computes every metric of every run and ensemble."""

from graft.files import read_json, record_sums, verified, write_csv
from graft.jobs import job
from graft.predictions import load_predictions
from graft.tables import ensemble_table, measured, over_seeds, run_table

with job(snakemake) as say:
    members = [len(read_json(verified(path))["members"]) for path in snakemake.input.ensemble_facts]
    runs = measured(
        (run, load_predictions(verified(path)))
        for run, path in zip(snakemake.params.runs, snakemake.input.runs, strict=True)
    )
    ensembles = measured(
        ([*name, number], load_predictions(verified(path)))
        for name, number, path in zip(snakemake.params.ensembles, members, snakemake.input.ensembles, strict=True)
    )
    of_runs = run_table(runs)
    tables = {"runs": of_runs, "models": over_seeds(of_runs, runs), "ensembles": ensemble_table(ensembles)}
    for name, table in tables.items():
        write_csv(snakemake.output[name], table)
    record_sums(snakemake.output.sums, [snakemake.output[name] for name in tables])
    say(f"{len(snakemake.input.runs)} runs and {len(snakemake.input.ensembles)} ensembles measured")
