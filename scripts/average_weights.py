"""Averages the weights of finished networks, where the mean is better on the validation split than the best of them."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_arrays
from graft.backends import device_facts, start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, replacing, verified, write_csv, write_json
from graft.jobs import job
from graft.members import describe_ensemble, member_table
from graft.predictions import load_predictions, save_predictions
from graft.runtime import Stopwatch

with job(snakemake) as say, lease_gpus(1, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    params, output = snakemake.params, {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    start_backend(**params.compute)
    from graft.soups import average_models

    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    names = [member["member"] for member in params.members]
    models = dict(zip(names, map(verified, snakemake.input.models), strict=True))
    predictions = {
        name: load_predictions(verified(path)) for name, path in zip(names, snakemake.input.predictions, strict=True)
    }
    data = gather(index, splits, open_arrays(snakemake.input.images))
    model, combined = average_models(
        models, predictions, data, params.method, temperature=params.temperature, test_time=params.test_time
    )
    facts = describe_ensemble(
        params.members,
        combined,
        predictions,
        method=params.method,
        preparation=params.preparation,
        networks=["model.keras"],
    )

    with replacing(output["model"]) as beside:
        model.save(beside)
    with replacing(output["predictions"]) as beside:
        save_predictions(beside, combined.predictions)
    write_json(output["ensemble"], facts)
    write_csv(output["members"], member_table(facts))
    runtime = output.pop("runtime")
    write_json(runtime, stopwatch.report(networks=len(models), **device_facts()))
    record_sums(snakemake.output.sums, output.values())
    say(f"{combined.facts['applied']}: {sum(weight > 0 for weight in combined.weights)} of {len(models)} members")
