import builtins
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.events import write_events

ROOT = Path(__file__).resolve().parents[2]
NAME = "events.out.tfevents.history"
HISTORY = [
    {"epoch": 1, "accuracy": 0.5, "loss": 1.25, "val_accuracy": 0.75, "val_loss": 0.1, "learning_rate": 0.001},
    {"epoch": 2, "accuracy": 1, "loss": 1e-9, "val_accuracy": 0.875, "val_loss": 123456.789, "learning_rate": 0.0},
    {"epoch": 10, "accuracy": 0.9, "loss": 0.25, "val_accuracy": 0.0, "val_loss": 0.3, "learning_rate": 3e-05},
]


def as_tensorboard_reads(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each scalar, by its name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    assert events.PluginTagToContent("scalars").keys() == set(events.Tags()["tensors"])
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto).item()) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


@pytest.mark.parametrize(
    ("split", "columns"),
    [
        ("train", {"epoch_accuracy": "accuracy", "epoch_loss": "loss", "epoch_learning_rate": "learning_rate"}),
        ("validation", {"epoch_accuracy": "val_accuracy", "epoch_loss": "val_loss"}),
    ],
)
def test_tensorboard_reads_back_the_history_named_as_by_keras(
    tmp_path: Path, split: str, columns: dict[str, str]
) -> None:
    write_events(tmp_path / split / NAME, HISTORY, split)
    read = as_tensorboard_reads(tmp_path / split)
    assert read == {
        tag: [(row["epoch"], float(np.float32(row[column]))) for row in HISTORY] for tag, column in columns.items()
    }


def test_bytes_depend_on_the_history_alone(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_events(tmp_path / name / NAME, HISTORY, "train")
    first, second = ((tmp_path / name / NAME).read_bytes() for name in ("first", "second"))
    assert first == second
    assert socket.gethostname().encode() not in first
    assert [path.name for path in (tmp_path / "first").iterdir()] == [NAME]


def test_a_file_from_before_is_replaced(tmp_path: Path) -> None:
    for rows in (HISTORY, HISTORY[:1]):
        write_events(tmp_path / NAME, rows, "validation")
    assert as_tensorboard_reads(tmp_path)["epoch_accuracy"] == [(1, 0.75)]


def test_writing_loads_no_framework(tmp_path: Path) -> None:
    code = f"""
import json, sys
from graft.events import write_events
write_events({str(tmp_path / NAME)!r}, {HISTORY!r}, "train")
print(json.dumps([name for name in ("tensorflow", "keras", "pandas") if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_without_tensorboard_an_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "tensorboard":
            raise ModuleNotFoundError("No module named 'tensorboard'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    text = (
        "TensorBoard is not installed (No module named 'tensorboard'); "
        "run make, or pip install -e '.[tensorboard]' in the project's folder"
    )
    with pytest.raises(UserError, match=f"^{re.escape(text)}$"):
        write_events(tmp_path / NAME, HISTORY, "train")
    assert not list(tmp_path.iterdir())
