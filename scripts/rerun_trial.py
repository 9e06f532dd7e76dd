"""Runs one of the best trials of a search again, from another seed."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_inputs, open_soft_labels
from graft.backends import device_facts, start_backend
from graft.devices import lease_gpus
from graft.files import read_json, record_sums, verified, write_json
from graft.jobs import job
from graft.runtime import Stopwatch
from graft.spec import chosen_spec
from graft.weights import with_weights

rank, seed = int(snakemake.wildcards.rank), int(snakemake.wildcards.seed)
gpus = snakemake.params.model.get("gpu", 1)

with job(snakemake) as say, lease_gpus(gpus, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    best = read_json(verified(snakemake.input.best))["best"][rank - 1 : rank]
    found, facts = {}, {}
    if best:
        start_backend(**snakemake.params.compute, gpus=gpus)
        from graft.training import DivergedError
        from graft.tuning.trials import train_trial

        index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
        inputs = open_inputs(snakemake.input.images, snakemake.input.get("features"))
        data = gather(index, splits, inputs, open_soft_labels(snakemake.input.get("soft_labels")))
        tune, trial = snakemake.params.tune, best[0]
        chosen = chosen_spec(snakemake.params.model, tune["space"], trial["params"])
        now = f"trial {trial['trial']}: {tune['metric']} {trial['value']:.4f} in the search"
        try:
            _, value = train_trial(with_weights(chosen, snakemake.input.get("weights")), data, tune, seed=seed)
            say(f"{now}, now {value:.4f}")
        except DivergedError as error:
            value = None
            say(f"{now}; {error}")
        found, facts = {"trial": trial["trial"], "seed": seed, "value": value}, device_facts()
    else:
        say(f"the search has fewer than {rank} complete trials")
    write_json(snakemake.output.value, found)
    write_json(snakemake.output.runtime, stopwatch.report(seed=seed, **facts))
    record_sums(snakemake.output.sums, [Path(snakemake.output.value)])
