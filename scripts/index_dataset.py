"""Decodes every image of a data set once: one index for all sizes, and the arrays that the study is known to need."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from graft.duplicates import near_hashes
from graft.files import record_sums, replacing, verified_all, write_csv
from graft.jobs import job
from graft.prepare import prepare
from graft.sources.base import open_source

with job(snakemake) as say:
    raw = Path(snakemake.input.raw)
    verified_all(raw)
    images = open_source(snakemake.params.source).read(raw.parent)
    output = {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    state = raw.parent.with_name("state")
    shutil.rmtree(state, ignore_errors=True)
    arrays = {size: state / f"{size}px/images.npy" for size in snakemake.params.sizes}
    with ExitStack() as stack:
        beside = {size: stack.enter_context(replacing(path)) for size, path in arrays.items()}
        prepared = prepare(images, beside, **snakemake.params.preparation, processes=snakemake.threads)
    for path in arrays.values():
        record_sums(path.with_name("SHA256SUMS"), [path])

    with replacing(output["index"]) as beside:
        prepared.index.to_parquet(beside, index=False)
    with replacing(output["near"]) as beside:
        near_hashes(prepared.index["phash"]).to_parquet(beside, index=False)
    write_csv(output["quarantine"], prepared.quarantine)
    with replacing(output["examples"]) as beside, beside.open("wb") as file:
        np.savez(file, rows=prepared.examples, thumbnails=prepared.thumbnails, mean=prepared.mean)
    record_sums(snakemake.output.sums, output.values())
    bad = f", {len(prepared.quarantine)} in quarantine" if len(prepared.quarantine) else ""
    say(f"{len(prepared.index)} images of {prepared.index['label'].nunique()} classes{bad}")
