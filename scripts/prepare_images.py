"""Writes the images of a data set at one size as one array, in the order of its index."""

from pathlib import Path

import pandas as pd

from graft.errors import UserError
from graft.files import record_sums, replacing, verified, verified_all
from graft.jobs import job
from graft.prepare import prepare
from graft.sources.base import open_source

with job(snakemake) as say:
    raw, images, sums = (Path(path) for path in (snakemake.input.raw, snakemake.output.images, snakemake.output.sums))
    index = pd.read_parquet(verified(snakemake.input.index), columns=["source", "sha1"])
    # The job that made the index has left the arrays that its study asked for.
    left = raw.parent.with_name("state") / images.parent.name
    if (left / images.name).exists() and (left / sums.name).exists():
        (left / images.name).replace(images)
        (left / sums.name).replace(sums)
        left.rmdir()
    else:
        verified_all(raw)
        source = open_source(snakemake.params.source).read(raw.parent)
        with replacing(images) as beside:
            arrays, how = {snakemake.params.size: beside}, snakemake.params.preparation
            found = prepare(source, arrays, **how, processes=snakemake.threads, hashes=False)
            if not found.index[["source", "sha1"]].equals(index):
                raise UserError(f"{raw.parent}: its images are not those of {snakemake.input.index}; delete both")
        record_sums(sums, [images])
    say(f"{len(index)} images")
