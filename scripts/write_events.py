"""Writes the history of one run in the format of TensorBoard."""

from pathlib import Path

from graft.events import write_events
from graft.files import read_json, record_sums, verified
from graft.jobs import job

with job(snakemake) as say:
    history = read_json(verified(snakemake.input.history))
    for split in ("train", "validation"):
        path = Path(snakemake.output[split])
        write_events(path, history, split)
        record_sums(path.with_name("SHA256SUMS"), [path])
    say(f"{len(history)} epochs")
