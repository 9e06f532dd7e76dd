"""Computes every metric of every run and ensemble."""

from pathlib import Path

from graft.files import record_sums, verified, write_csv
from graft.jobs import job
from graft.predictions import load_predictions
from graft.tables import ensemble_table, over_seeds, run_table

with job(snakemake) as say:
    runs = run_table(
        (run, load_predictions(verified(path)))
        for run, path in zip(snakemake.params.runs, snakemake.input.runs, strict=True)
    )
    ensembles = ensemble_table(
        (name, load_predictions(verified(path)))
        for name, path in zip(snakemake.params.ensembles, snakemake.input.ensembles, strict=True)
    )
    output = {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    for name, table in {"runs": runs, "models": over_seeds(runs), "ensembles": ensembles}.items():
        write_csv(output[name], table)
    record_sums(snakemake.output.sums, output.values())
    say(f"{len(snakemake.input.runs)} runs and {len(snakemake.input.ensembles)} ensembles measured")
