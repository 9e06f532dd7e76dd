"""Searches the open fields of a model with Optuna."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_inputs
from graft.backends import start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, sha256, verified, write_csv, write_json
from graft.jobs import job
from graft.runtime import Stopwatch
from graft.weights import with_weights

gpus = snakemake.params.model.get("gpu", 1)

with job(snakemake) as say, lease_gpus(gpus, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute, gpus=gpus)
    from graft.tuning import best_of, trials_table, tune_run

    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    data = gather(index, splits, open_inputs(snakemake.input.images, snakemake.input.get("features")))
    best, trials = Path(snakemake.output.best), Path(snakemake.output.trials)
    depends = [snakemake.params.compute, snakemake.params.code, *map(sha256, snakemake.input)]
    database = best.parent / "state/optuna.db"
    spec = with_weights(snakemake.params.model, snakemake.input.get("weights"))
    study = tune_run(database, spec, data, snakemake.params.tune, depends)
    table = trials_table(study)
    write_json(best, best_of(study))
    write_csv(trials, table)
    write_json(snakemake.output.runtime, stopwatch.report(trials=len(table)))
    record_sums(snakemake.output.sums, [best, trials])
    counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items())
    say(f"{len(table)} trials ({counts}), best {snakemake.params.tune['metric']} {study.best_value:.4f}")
