"""Runs a trained network, but for its last layer, once over the images of a study."""

from pathlib import Path

import numpy as np
import pandas as pd

from graft.arrays import open_arrays
from graft.backends import device_facts, start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, replacing, verified, write_json
from graft.jobs import job
from graft.runtime import Stopwatch

with job(snakemake) as say, lease_gpus(1, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute)
    import keras

    from graft.embeddings import embed, penultimate, save_embeddings

    (images,) = open_arrays(snakemake.input.images)
    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    rows = np.flatnonzero(index["sample_id"].isin(splits["sample_id"]))
    model = keras.saving.load_model(verified(snakemake.input.model), compile=False, safe_mode=True)
    embedding = embed(penultimate(model), images, rows)

    output = Path(snakemake.output.embeddings)
    with replacing(output) as beside:
        save_embeddings(beside, index["sample_id"].to_numpy(str)[rows], embedding)
    record_sums(snakemake.output.sums, [output])
    write_json(snakemake.output.runtime, stopwatch.report(images=len(rows), **device_facts()))
    say(f"{len(rows)} images to {embedding.shape[1]} activations each")
