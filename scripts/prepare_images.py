"""Writes the images of a data set at one size as one array, in the order of its index."""

from pathlib import Path

import pandas as pd

from graft.files import record_sums, replacing, verified, verified_all
from graft.jobs import job
from graft.prepare import prepare_images
from graft.sources import open_source

with job(snakemake) as say:
    raw = Path(snakemake.input.raw)
    verified_all(raw)
    count = len(pd.read_parquet(verified(snakemake.input.index), columns=["sample_id"]))
    samples = open_source(snakemake.params.source).read(raw.parent)
    with replacing(snakemake.output.images) as beside:
        prepare_images(samples, count, snakemake.params.size, beside)
    record_sums(snakemake.output.sums, [snakemake.output.images])
    say(f"{count} images")
