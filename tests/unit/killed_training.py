"""Trains small networks in processes of their own and kills them: ``killed_training.py FOLDER KILLS``, for test_resume.

Each training is a fork of this process, which has imported the framework and done nothing else with it.
"""

# ruff: noqa: E402 (the project is found, and the backend chosen, before Keras is imported)
import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np

from graft.backends import start_backend

start_backend("tensorflow", threads=1, deterministic=True)

import graft.finetune
from graft.checkpoints import Checkpoints
from graft.errors import UserError
from graft.registry import Part, parts
from graft.runs import checkpoint_key, train_run
from tests.unit.conftest import _digits

DATA = _digits(8, 60)
# All that has a state: momenta, averages, dropout, augmentation, a schedule, early stopping, two phases, odd steps.
KILLED = {
    "architecture": "tiny",
    "image_size": 8,
    "options": {"dropout": 0.2},
    "weights": "none",
    "train": {
        "epochs": 6,
        "batch_size": 8,
        "optimizer": {"name": "adam"},
        "learning_rate": 1e-2,
        "schedule": {"name": "cosine"},
        "steps_per_epoch": 60,
        "head_first": {"epochs": 2, "learning_rate": 1e-2},
        "early_stopping": {"metric": "val_accuracy", "patience": 50},
        "augment": {"flip": True, "crop": 1, "mixup": 0.2},
        "ema": 0.9,
    },
}
ENDLESS = {"name": "inverse_time", "decay": 0.01}


def tiny(inputs: Any, *, dropout: float = 0.0) -> Any:
    from keras import layers

    x = layers.Conv2D(4, 3, name="conv")(layers.Rescaling(1 / 255)(inputs))
    return layers.Dropout(dropout, name="dropout")(layers.BatchNormalization(name="bn")(x))


def train(folder: Path, spec: Mapping[str, Any], minutes: float) -> None:
    part = Part("tiny", __name__, tiny, {"backbone": True, "weights": {}})
    graft.finetune.parts = lambda package: {**parts(package), "tiny": part}
    checkpoints = Checkpoints(folder / "state", checkpoint_key(spec, 0), minutes)
    try:
        trained = train_run(spec, DATA, 0, checkpoints=checkpoints)
    except UserError as error:
        (folder / "error").write_text(str(error))
        return
    np.savez(folder / "weights.npz", *trained.model.get_weights())
    (folder / "history.json").write_text(json.dumps(trained.history))


def start(folder: Path, spec: Mapping[str, Any] = KILLED, minutes: float = 0) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process == 0:
        code = 1
        try:
            train(folder, spec, minutes)
            code = 0
        finally:
            os._exit(code)
    return process


def ended(process: int, *, wait: bool = True) -> bool:
    found, status = os.waitpid(process, 0 if wait else os.WNOHANG)
    if wait and os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        sys.exit(f"a training ended with {status}")
    return bool(found)


def wait_for_state(process: int, folder: Path, other_than: set[str]) -> None:
    """Until the training has saved a state of its own, or ended."""
    while not ended(process, wait=False) and {path.name for path in folder.glob("state/*.npz")} <= other_than:
        time.sleep(0.005)


def main(base: Path, kills: int) -> None:
    ended(start(base / "whole"))

    chance, places = random.Random(0), []
    for _ in range(kills):
        before = {path.name for path in (base / "killed/state").glob("*.npz")}
        process = start(base / "killed")
        wait_for_state(process, base / "killed", before)
        time.sleep(chance.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        ended(process)
        places.append(max(int(path.stem) for path in (base / "killed/state").glob("[0-9]*.npz")))
    ended(start(base / "killed"))
    (base / "killed/record.json").write_text(json.dumps({"kills": kills, "places": places}))

    process = start(base / "asked", minutes=0.0005)
    wait_for_state(process, base / "asked", set())
    asked = time.monotonic()
    os.kill(process, signal.SIGTERM)
    ended(process)
    record = {"seconds": time.monotonic() - asked, "error": (base / "asked/error").read_text()}
    record["states"] = len(list(base.glob("asked/state/*.npz")))
    (base / "asked/record.json").write_text(json.dumps(record))
    ended(start(base / "asked"))

    plain = {"optimizer": {"name": "sgd", "momentum": 0.9}, "schedule": ENDLESS}
    kept = {key: KILLED["train"][key] for key in ("batch_size", "learning_rate")} | plain
    long, short = (KILLED | {"train": kept | {"epochs": epochs}} for epochs in (4, 2))
    ended(start(base / "long", long))
    ended(start(base / "extended", short))
    ended(start(base / "extended", long))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
