"""Trainings that share their batches out to several devices, as GPUs do."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.arrays import Data
from graft.errors import UserError
from graft.metrics import log_loss

PROGRAM = Path(__file__).with_name("parallel_training.py")
TRAIN = {"epochs": 1, "batch_size": 24, "learning_rate": 0.1, "schedule": {"name": "constant"}}
SPEC = {"architecture": "simcnn", "image_size": 32, "gpu": 4, "train": TRAIN | {"optimizer": {"name": "sgd"}}}


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def trainings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the program says of one training on one device, on two, and on two after it was stopped."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    command = [sys.executable, PROGRAM, request.param, tmp_path_factory.mktemp("parallel")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal to rounding, and the same network."""
    for row, row2 in zip(one["history"], other["history"], strict=True):
        assert row2 == pytest.approx(row, rel=1e-4)
    for weight, weight2 in zip(one["weights"], other["weights"], strict=True):
        np.testing.assert_allclose(weight2, weight, rtol=1e-4, atol=1e-5)
    for split in ("validation", "test"):
        np.testing.assert_allclose(other[split], one[split], rtol=1e-4, atol=1e-4)
    assert other["described"] == one["described"]


def test_two_devices_train_as_one_to_rounding(trainings: Any) -> None:
    alike(trainings["one"], trainings["two"])
    assert trainings["two"]["images"] == 3 * 62


def test_a_stopped_training_on_two_devices_goes_on(trainings: Any) -> None:
    alike(trainings["two"], trainings["resumed"])


def test_validation_is_of_every_image(trainings: Any) -> None:
    two = trainings["two"]
    log_prob, labels = np.array(two["validation"]), np.array(two["labels"])
    assert log_prob.shape == (21, 10)
    last = two["history"][-1]
    assert last["val_loss"] == pytest.approx(log_loss(log_prob, labels), rel=1e-4)
    assert last["val_accuracy"] == pytest.approx(np.mean(log_prob.argmax(axis=1) == labels), rel=1e-6)


def test_batches_can_be_shared_out_and_leave_no_image_out_for_good(keras: Any) -> None:
    from graft.training import Batches

    rows = np.arange(10, 33)
    batches = Batches([np.arange(40)], np.arange(40), rows, 8, seed=0, multiple_of=4)
    assert (batches.steps, batches.images) == (3, 20)
    seen: set[int] = set()
    for epoch in range(5):
        batches.start(epoch)
        images = [batches[k][0] for k in range(len(batches))]
        assert [len(each) for each in images] == [8, 8, 4]
        assert len(np.unique(np.concatenate(images))) == 20
        seen.update(np.concatenate(images).tolist())
    assert seen == set(rows.tolist())


def test_fewer_images_than_gpus_are_an_error(keras: Any, digits: Callable[[int, int], Data]) -> None:
    from graft.runs import train_run

    with pytest.raises(UserError, match=r"^gpu: 4 is more than the 3 training images; lower it$"):
        train_run(SPEC, digits(32, 5), 0)


def test_halved_batches_can_still_be_shared_out(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import graft.runs

    tried: list[int] = []

    def fail(spec: dict[str, Any], *_: Any) -> None:
        tried.append(spec["train"]["batch_size"])
        raise MemoryError

    monkeypatch.setattr(graft.runs, "_train_once", fail)
    with pytest.raises(UserError, match="out of memory with batch_size 4"):
        graft.runs.train_run(SPEC | {"train": TRAIN | {"retries": 5}}, None, 0)
    assert tried == [24, 12, 4]
