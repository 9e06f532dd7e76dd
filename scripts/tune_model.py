"""Runs trials of a model's search until none is left for this worker."""

from functools import partial
from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_inputs, open_soft_labels
from graft.backends import device_facts, load_backend, start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, sha256, verified, write_json
from graft.jobs import job
from graft.runtime import Stopwatch
from graft.weights import with_weights

gpus = snakemake.params.model.get("gpu", 1)

with job(snakemake) as say, lease_gpus(gpus, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    load_backend(**snakemake.params.compute, gpus=gpus)
    import graft.runs  # noqa: F401 (here, so that no trial has to import it)
    from graft.tuning.search import Search
    from graft.tuning.storage import name_in, open_storage
    from graft.tuning.trials import objective, search_name, tidy, trial_epochs
    from graft.tuning.workers import work

    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    inputs = open_inputs(snakemake.input.images, snakemake.input.get("features"))
    data = gather(index, splits, inputs, open_soft_labels(snakemake.input.get("soft_labels")))
    tune, keep = snakemake.params.tune, snakemake.params.keep
    depends = [snakemake.params.compute, snakemake.params.code, *map(sha256, snakemake.input)]
    spec = with_weights(snakemake.params.model, snakemake.input.get("weights"))
    state = Path(snakemake.output.search).parents[2] / "state"
    name = name_in(tune["storage"], search_name(snakemake.params.model, tune, depends), state)
    storage, worker = open_storage(tune["storage"], state), int(snakemake.wildcards.worker)
    search = Search(storage, name, tune, worker, trial_epochs(spec["train"], tune))
    start = partial(start_backend, **snakemake.params.compute, gpus=gpus)
    work(search, objective(spec, data, tune, state, name, start), tidy(state, name, search.ranked, keep))
    write_json(snakemake.output.search, {"name": name, "trials": tune["trials"]})
    write_json(snakemake.output.runtime, stopwatch.report(**device_facts()))
    record_sums(snakemake.output.sums, [snakemake.output.search])
    say(search.progress())
