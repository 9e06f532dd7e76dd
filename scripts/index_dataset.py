"""Lists every image of a data set: one index for every image size."""

from pathlib import Path

from graft.files import record_sums, replacing, verified_all
from graft.jobs import job
from graft.prepare import build_index
from graft.sources import open_source

with job(snakemake) as say:
    raw = Path(snakemake.input.raw)
    verified_all(raw)
    source = open_source(snakemake.params.source)
    index = build_index(source.read(raw.parent), source.classes)
    with replacing(snakemake.output.index) as beside:
        index.to_parquet(beside, index=False)
    record_sums(snakemake.output.sums, [snakemake.output.index])
    say(f"{len(index)} images of {index['label'].nunique()} classes")
