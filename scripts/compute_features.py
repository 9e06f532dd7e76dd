"""Runs the frozen part of a network once over every image of a data set."""

from pathlib import Path

import numpy as np
import pandas as pd

from graft.arrays import open_arrays
from graft.backends import device_facts, start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, verified, write_json
from graft.jobs import job
from graft.runtime import Stopwatch
from graft.weights import with_weights

with job(snakemake) as say, lease_gpus(1, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute)
    from graft.features import NOT_STORED, save_activations, split_network
    from graft.finetune import build_network

    (images,) = open_arrays(snakemake.input.images)
    network = with_weights(snakemake.params.network, snakemake.input.get("weights"))
    views, options = network.pop("views", 0), network.pop("augment", None)
    prefix, _ = split_network(build_network(classes=2, **network))  # it ends before the classes
    sums = Path(snakemake.output.sums)
    rows = np.arange(len(images))
    if snakemake.input.get("splits"):
        index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
        rows = np.flatnonzero(index["sample_id"].isin(splits["sample_id"]))
    paths = save_activations(
        prefix, images, sums.parent, dtype=snakemake.params.dtype, rows=rows, views=views, options=options
    )
    record_sums(sums, paths)
    write_json(snakemake.output.runtime, stopwatch.report(images=len(rows), **device_facts()))
    if paths[0].name == NOT_STORED:
        say(paths[0].read_text().strip())
    else:
        shown = f", and {views} changed views of each," if views else ", once each,"
        say(f"{len(rows)} images{shown} to {', '.join(str(output.shape[1:]) for output in prefix.outputs)}")
