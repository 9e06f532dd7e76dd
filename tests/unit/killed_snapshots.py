"""Kills a training that makes snapshots in each of its cycles: ``killed_snapshots.py FOLDER``, for test_snapshots."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import graft.finetune
from graft.checkpoints import Checkpoints
from graft.registry import Part, parts
from graft.runs import checkpoint_key, predict_run, train_run
from tests.unit import killed_training as killed

CYCLES, STEPS = 3, 8
PLACES = [(4, 0), (5, STEPS)]
"""Epochs and steps: after a snapshot, and before the validation that comes before one."""
KEPT = ("batch_size", "optimizer", "learning_rate", "head_first")
TRAIN = {key: killed.KILLED["train"][key] for key in KEPT} | {
    "epochs": 2 * CYCLES,
    "steps_per_epoch": STEPS,
    "schedule": {"name": "cosine_cycles", "cycles": CYCLES},
}
SPEC = killed.KILLED | {"train": TRAIN, "test_time": ["flip"]}


class Dies(Checkpoints):
    """Saves after every step and epoch, and kills its process once it has saved the state of one place."""

    at: tuple[int, int] | None = None

    def due(self) -> bool:
        return True

    cheap = due

    def save(self, place: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().save(place, arrays)
        if (len(place["history"]), place["step"]) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder: Path, spec: Mapping[str, Any], minutes: float) -> None:
    part = Part("tiny", killed.__name__, killed.tiny, {"backbone": True, "weights": {}})
    graft.finetune.parts = lambda package: {**parts(package), "tiny": part}
    checkpoints = Dies(folder / "state", checkpoint_key(spec, 0), minutes)
    trained = train_run(spec, killed.DATA, 0, checkpoints=checkpoints, snapshots=True)
    last = predict_run(trained.network, killed.DATA, spec["test_time"])
    made = [*trained.snapshots, last]
    splits = {name: np.stack([each.splits[name].log_prob for each in made]) for name in ("validation", "test")}
    np.savez(folder / "snapshots.npz", **splits)
    (folder / "history.json").write_text(json.dumps(trained.history))


def start(folder: Path, dies_at: tuple[int, int] | None = None) -> int:
    Dies.at = dies_at
    return killed.start(folder, SPEC)


def main(base: Path) -> None:
    killed.train = train
    killed.ended(start(base / "whole"))
    held = []
    for place in PLACES:
        killed.ended(start(base / "killed", place))
        newest = max((base / "killed/state").glob("[0-9]*.npz"), key=lambda path: int(path.stem))
        with np.load(newest) as saved:
            held.append(sum(name.startswith("snapshot") for name in saved.files))
    killed.ended(start(base / "killed"))
    (base / "killed/record.json").write_text(json.dumps(held))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
