"""Trains a small network on one device and on two, for test_parallel: ``parallel_training.py BACKEND FOLDER``.

Prints what each training says: on one device, on two, and on two after it was stopped between two steps.
"""

# ruff: noqa: E402 (the project is found, and the backend and its devices chosen, before Keras is imported)
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from graft.backends import start_backend

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
start_backend(sys.argv[1], threads=1, deterministic=True, gpus=2)
if sys.argv[1] == "tensorflow":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
import numpy as np
from keras import layers

import graft.backends
import graft.finetune
from graft.checkpoints import Checkpoints
from graft.registry import Part, parts
from graft.runs import predict_run, train_run
from tests.unit.conftest import _digits

DATA = _digits(8, 105)  # 63 to train and 21 to validate: neither is a multiple of two
SPEC = {
    "architecture": "tiny",
    "image_size": 8,
    "options": {},
    "gpu": 2,
    "train": {
        "epochs": 3,
        "batch_size": 16,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "learning_rate": 0.05,
        "schedule": {"name": "constant"},
    },
}
STEPS = 6  # one and a half epochs


class StoppedError(Exception):
    """Stands for what kills a process."""


class StoppedAfterSaving(Checkpoints):
    """A state after each step, up to one."""

    def save(self, place: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().save(place, arrays)
        if 4 * len(place["history"]) + place["step"] == STEPS:
            raise StoppedError


def tiny(inputs: Any) -> Any:
    """Nothing in it has a kink, so rounding stays rounding."""
    x = layers.Conv2D(4, 3, padding="same", name="conv")(layers.Rescaling(1 / 255)(inputs))
    return layers.Activation("tanh", name="act")(layers.BatchNormalization(name="bn")(x))


def train(folder: Path, checkpoints: Checkpoints | None = None) -> dict[str, Any]:
    trained = train_run(SPEC, DATA, 0, checkpoints=checkpoints)
    trained.model.save(folder / "model.keras")
    splits = predict_run(trained.network, DATA).splits
    return {
        "history": trained.history,
        "images": trained.images,
        "weights": [weight.tolist() for weight in trained.model.get_weights()],
        "described": keras.models.load_model(folder / "model.keras").to_json(),
        **{name: split.log_prob.tolist() for name, split in splits.items()},
        "labels": splits["validation"].label.tolist(),
    }


def main(folder: Path) -> None:
    found = {**parts("graft.models"), "tiny": Part("tiny", __name__, tiny, {"backbone": True, "weights": {}})}
    graft.finetune.parts = lambda package: found
    names = graft.backends.device_names
    graft.backends.device_names = lambda: ["cpu:0"]
    one = train(folder)
    graft.backends.device_names = names
    two = train(folder)
    try:
        train(folder, StoppedAfterSaving(folder / "state", "a key", 0))
    except StoppedError:
        resumed = train(folder, Checkpoints(folder / "state", "a key"))
    print(json.dumps({"one": one, "two": two, "resumed": resumed}))


if __name__ == "__main__":
    main(Path(sys.argv[2]))
