"""Histories as event files, the format that TensorBoard reads: records of TFRecord that are protocol buffers."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from graft.errors import UserError
from graft.files import replacing


def write_events(path: str | Path, rows: Iterable[Mapping[str, float]], split: str) -> None:
    """Write what a history, a row an epoch, says of ``train`` (with the learning rate) or ``validation`` as scalars.

    They are named as by Keras' own callback (``epoch_loss``), so TensorBoard draws the two files in one chart if they stand
    in folders of their own. Steps are epochs from 1. The bytes depend on the rows alone: there are no times in them.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        install = "run make, or pip install -e '.[tensorboard]' in the project's folder"
        raise UserError(f"TensorBoard is not installed ({error}); {install}") from error
    # Not its EventFileWriter, which puts time and host into name and bytes, and loads TensorFlow where there is one.
    with replacing(path) as beside, beside.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(file_version="brain.Event:2").SerializeToString())
        for row in rows:
            summary = Summary()
            for name, value in row.items():
                if name != "epoch" and name.startswith("val_") == (split == "validation"):
                    summary.MergeFrom(scalar_pb(f"epoch_{name.removeprefix('val_')}", value))
            writer.write(Event(step=int(row["epoch"]), summary=summary).SerializeToString())
