"""Applies an ensemble to the training images, from which another network then learns."""

from pathlib import Path

import numpy as np
import pandas as pd

from graft.arrays import gather, open_arrays
from graft.backends import device_facts, start_backend
from graft.devices import lease_gpus
from graft.files import record_sums, replacing, verified, write_json
from graft.jobs import job
from graft.labelling import check_classes, labeller, read_ensemble
from graft.runtime import Stopwatch
from graft.soft_labels import SoftLabels, save_soft_labels

with job(snakemake) as say, lease_gpus(1, snakemake.params.compute["backend"], say):
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute)
    ensemble = read_ensemble(snakemake.input.ensemble)
    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    images = {
        size: open_arrays(sums)[0] for size, sums in zip(snakemake.params.sizes, snakemake.input.images, strict=True)
    }
    data = gather(index, splits, list(images.values()))
    check_classes(ensemble, data.classes)
    rows = data.rows["train"]
    log_prob = labeller(ensemble)(images.__getitem__, rows)

    output = Path(snakemake.output.soft_labels)
    with replacing(output) as beside:
        save_soft_labels(beside, SoftLabels(data.classes, data.sample_id[rows], log_prob))
    write_json(snakemake.output.runtime, stopwatch.report(images=len(rows), **device_facts()))
    record_sums(snakemake.output.sums, [output])
    agree = np.mean(log_prob.argmax(axis=1) == data.label[rows])
    say(f"{len(rows)} training images labelled, {agree:.4f} of them as they are")
