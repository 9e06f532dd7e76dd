"""Runs the frozen part of a network once over every image of a data set."""

from pathlib import Path

import pandas as pd

from graft.backends import start_backend
from graft.files import record_sums, verified
from graft.jobs import job
from graft.arrays import class_names, open_arrays

with job(snakemake) as say:
    start_backend(**snakemake.params.compute)
    from graft.features import save_activations, split_network
    from graft.finetune import build_network

    (images,) = open_arrays(snakemake.input.images)
    classes = class_names(pd.read_parquet(verified(snakemake.input.index)))
    prefix, _ = split_network(build_network(classes=len(classes), **snakemake.params.network))
    sums = Path(snakemake.output.sums)
    record_sums(sums, save_activations(prefix, images, sums.parent))
    say(f"{len(images)} images, once each, to {', '.join(str(output.shape[1:]) for output in prefix.outputs)}")
