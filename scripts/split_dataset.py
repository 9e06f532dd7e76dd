"""Assigns every image of a data set to train, validation or test."""

import pandas as pd

from graft.files import record_sums, replacing, verified
from graft.jobs import job
from graft.splits import split_index

with job(snakemake) as say:
    index = pd.read_parquet(verified(snakemake.input.index))
    splits = split_index(index, **snakemake.params.split)
    with replacing(snakemake.output.splits) as beside:
        splits.to_parquet(beside, index=False)
    record_sums(snakemake.output.sums, [snakemake.output.splits])
    say(", ".join(f"{count} {name}" for name, count in splits["split"].value_counts().items()))
