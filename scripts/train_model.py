"""Trains one model on one data set from one seed, and saves what it then says of validation and test."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_inputs, open_soft_labels
from graft.backends import start_backend
from graft.checkpoints import Checkpoints
from graft.devices import lease_gpus
from graft.files import read_csv, read_json, record_sums, replacing, sha256, verified, write_csv, write_json
from graft.jobs import job
from graft.predictions import save_predictions, save_snapshots
from graft.runtime import Stopwatch
from graft.spec import can_be_extended, chosen_spec
from graft.splits import fold_splits
from graft.tuning.folders import trial_checkpoints
from graft.weights import with_weights

gpus = snakemake.params.model.get("gpu", 1)

with job(snakemake) as say, lease_gpus(gpus, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute, gpus=gpus)
    from graft.runs import checkpoint_key, predict_run, run_facts, train_run

    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    if folds := snakemake.params.model.get("folds"):
        splits = fold_splits(index, splits, folds, snakemake.params.seed)
    inputs = open_inputs(snakemake.input.images, snakemake.input.get("features"))
    data = gather(index, splits, inputs, open_soft_labels(snakemake.input.get("soft_labels")))
    tuned = snakemake.input.get("tuned")
    best = read_json(verified(tuned)) if tuned else {"params": {}, "space": {}}
    chosen = chosen_spec(snakemake.params.model, best["space"], best["params"])
    spec = with_weights(chosen, snakemake.input.get("weights"))
    output = {name: Path(path) for name, path in snakemake.output.items() if name not in ("sums", "runtime")}
    depends = [snakemake.params.seed, snakemake.params.compute, snakemake.params.code, *map(sha256, snakemake.input)]
    minutes = spec["train"].get("checkpoint_minutes", 10)
    checkpoints = Checkpoints(output["model"].parent / "state", checkpoint_key(spec, *depends), minutes)
    if snakemake.params.refit == "continue" and snakemake.params.seed == best["seed"]:
        state = Path(tuned).parent / "state"
        checkpoints.begin_with(trial_checkpoints(state, best["search"], best["trial"], spec))
    trained = train_run(spec, data, snakemake.params.seed, checkpoints=checkpoints, snapshots="snapshots" in output)
    predictions = predict_run(trained.network, data, spec.get("test_time", ()))

    with replacing(output["model"]) as beside:
        trained.model.save(beside)
    with replacing(output["predictions"]) as beside:
        save_predictions(beside, predictions)
    if "snapshots" in output:
        with replacing(output["snapshots"]) as beside:
            save_snapshots(beside, [*trained.snapshots, predictions])
    write_csv(output["history"], trained.history)
    write_json(output["history_json"], read_csv(output["history"]).to_dict("records"))
    which = {"seed": snakemake.params.seed, "fingerprint": snakemake.params.code}
    write_json(snakemake.output.runtime, stopwatch.report(**which, **run_facts(trained)))
    record_sums(snakemake.output.sums, output.values())
    if not can_be_extended(spec["train"]):
        checkpoints.clear()
    validation = predictions.splits["validation"]
    accuracy = (validation.log_prob.argmax(axis=1) == validation.label).mean()
    say(f"{len(trained.history)} epochs, validation accuracy {accuracy:.4f}")
