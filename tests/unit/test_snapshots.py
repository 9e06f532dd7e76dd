"""A learning rate that is restarted, and what a network says at the end of each of its cycles."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from graft.arrays import Data
from graft.config.train import Train
from graft.errors import UserError
from graft.metrics import log_loss, top_k_accuracy
from graft.predictions import (
    Predictions,
    SplitPredictions,
    load_predictions,
    load_snapshots,
    save_predictions,
    save_snapshots,
)
from graft.problems import describe

PROGRAM = Path(__file__).with_name("killed_snapshots.py")
CYCLES = {"name": "cosine_cycles", "cycles": 2}
SPECS = {
    "simcnn": {"architecture": "simcnn", "image_size": 18},
    "dcnn": {"architecture": "dcnn", "image_size": 16},  # which has dropout, and so a random state
}
TRAIN = {"epochs": 4, "batch_size": 16, "optimizer": {"name": "adam"}, "learning_rate": 3e-3, "schedule": CYCLES}


# -- the schedule --------------------------------------------------------------------------------------------------------


def published(rate: float, iterations: int, cycles: int) -> list[float]:
    """Equation 2 of Huang et al., arXiv 1704.00109: the rate at iterations 1 to T."""
    length = np.ceil(iterations / cycles)
    return [rate / 2 * (np.cos(np.pi * ((t - 1) % length) / length) + 1) for t in range(1, iterations + 1)]


@pytest.mark.parametrize(("steps", "cycles", "accumulate"), [(60, 3, 1), (21, 7, 1), (10_000_000, 5, 1), (48, 2, 4)])
def test_the_rate_is_that_of_the_paper(keras: Any, steps: int, cycles: int, accumulate: int) -> None:
    from graft.training import compile_network

    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    schedule = {"name": "cosine_cycles", "cycles": cycles}
    options = {"learning_rate": 0.1, "schedule": schedule, "accumulate": accumulate}
    compile_network(network, steps, optimizer={"name": "sgd"}, **options)
    updates = min(steps // accumulate, 1000)
    rate = network.optimizer._learning_rate
    if steps < 1000:
        ours = [float(rate(step)) for step in range(updates)]
        np.testing.assert_allclose(ours, published(0.1, steps // accumulate, cycles), rtol=1e-4, atol=1e-8)
    for cycle in range(cycles):
        begin = cycle * (steps // accumulate // cycles)
        assert float(rate(begin)) == pytest.approx(0.1), "a cycle begins with the full rate"
        assert float(rate(begin - 1)) < 0.06 or cycle == 0


# -- what a study may say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (
            {"epochs": 8, "schedule": {"name": "cosine_cycles", "cycles": 3}},
            "epochs: 8 is no multiple of schedule.cycles: 3, which have equally many epochs each; take 6 or 9",
        ),
        (
            {"epochs": 2, "schedule": {"name": "cosine_cycles", "cycles": 5}},
            "epochs: 2 is no multiple of schedule.cycles: 5, which have equally many epochs each; take 5",
        ),
        (
            {"epochs": 4, "schedule": CYCLES, "early_stopping": {"patience": 1}},
            "early_stopping: does not go with schedule: cosine_cycles, whose every cycle comes to its end; "
            "leave out either",
        ),
        (
            {"epochs": 4, "schedule": CYCLES, "ema": 0.9},
            "ema: does not go with schedule: cosine_cycles, whose every cycle ends in weights of its own; "
            "leave out either",
        ),
        ({"epochs": 4, "schedule": CYCLES, "warmup_epochs": 1}, "warmup_epochs needs schedule: cosine"),
        ({"epochs": 4, "schedule": {"name": "cosine_cycles", "cycles": 1}}, "schedule.cycles: 1 should be"),
        ({"epochs": 4, "schedule": "cosine_cycles"}, "schedule.cycles: is required"),
    ],
)
def test_what_makes_no_sense_is_one_line(train: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as error:
        Train.model_validate(train)
    (ours,) = describe(error.value, Train)
    assert ours.startswith(line)


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "constant"},
        {"name": "cosine"},
        {"name": "triangular", "peak": 0.25},
        {"name": "inverse_time", "decay": 0.1},
        CYCLES,
    ],
    ids=lambda schedule: schedule["name"],
)
def test_what_a_job_is_given_has_no_other_keys(schedule: dict[str, Any]) -> None:
    dumped = Train.model_validate({"epochs": 4, "schedule": schedule}).dump()
    common = {"batch_size": 32, "epochs": 4, "learning_rate": 0.001, "optimizer": {"name": "adam"}}
    assert dumped == common | {"schedule": schedule}


# -- what is saved -------------------------------------------------------------------------------------------------------


def some(seed: int, classes: int = 3, validation: int = 4, test: int = 5) -> Predictions:
    random = np.random.default_rng(seed)
    splits = {
        name: SplitPredictions(
            np.array([f"{name}{k}" for k in range(rows)]),
            np.arange(rows) % classes,
            np.log(random.dirichlet(np.ones(classes), rows)).astype(np.float32),
        )
        for name, rows in (("validation", validation), ("test", test))
    }
    return Predictions([f"class {k}" for k in range(classes)], splits)


def bits(predictions: Predictions) -> list[Any]:
    return [
        predictions.classes,
        *([array.tobytes() for array in split] for _, split in sorted(predictions.splits.items())),
    ]


def test_snapshots_are_loaded_as_they_were_saved(tmp_path: Path) -> None:
    made = [some(seed) for seed in range(3)]
    save_snapshots(tmp_path / "snapshots.npz", made)
    assert [bits(one) for one in load_snapshots(tmp_path / "snapshots.npz")] == [bits(one) for one in made]
    with np.load(tmp_path / "snapshots.npz", allow_pickle=False) as arrays:
        assert arrays["validation_log_prob"].shape == (3, 4, 3) and arrays["test_log_prob"].shape == (3, 5, 3)
        assert arrays["test_sample_id"].shape == (5,)


def test_snapshots_of_other_samples_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^snapshot 1 and snapshot 2 cannot be combined: .* test split"):
        save_snapshots(tmp_path / "snapshots.npz", [some(0), some(1, test=6)])


def test_a_wrong_probability_in_any_snapshot_is_refused(tmp_path: Path) -> None:
    wrong = some(1)
    wrong.splits["test"].log_prob[2, 1] = np.nan
    with pytest.raises(UserError, match=r"probabilities of the test split are not finite or do not sum to one$"):
        save_snapshots(tmp_path / "snapshots.npz", [some(0), wrong, some(2)])
    assert not (tmp_path / "snapshots.npz").exists()
    save_snapshots(tmp_path / "snapshots.npz", [some(0), some(1)])
    with np.load(tmp_path / "snapshots.npz") as saved:
        arrays = dict(saved)
    arrays["test_log_prob"][1, 0] = 0
    np.savez(tmp_path / "snapshots.npz", **arrays)
    with pytest.raises(UserError, match=r"probabilities of the test split are not finite or do not sum to one$"):
        load_snapshots(tmp_path / "snapshots.npz")


def test_snapshots_and_predictions_are_told_apart(tmp_path: Path) -> None:
    save_predictions(tmp_path / "one.npz", some(0))
    save_snapshots(tmp_path / "several.npz", [some(0), some(1)])
    with pytest.raises(UserError, match=r"one.npz: not a snapshots file: its probabilities are validation \(4, 3\), "):
        load_snapshots(tmp_path / "one.npz")
    with pytest.raises(UserError, match=r"several.npz: the validation split has ids \(4,\)"):
        load_predictions(tmp_path / "several.npz")
    (tmp_path / "none.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"none.npz: not a snapshots file: "):
        load_snapshots(tmp_path / "none.npz")


# -- a training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", SPECS)
def test_snapshots_are_what_the_network_says_on_the_way(
    keras: Any, digits: Callable[[int, int], Data], architecture: str
) -> None:
    from graft.runs import predict_run, train_run

    spec = SPECS[architecture] | {"train": TRAIN}
    data = digits(spec["image_size"], 100)
    plain, trained = (train_run(spec, data, 0, snapshots=asked) for asked in (False, True))
    assert trained.history == plain.history, "a training that is looked at is not disturbed"
    assert predict_run(trained.model, data).splits["test"].log_prob.tobytes() == (
        predict_run(plain.model, data).splits["test"].log_prob.tobytes()
    )
    rates = [row["learning_rate"] for row in trained.history]  # of the step after each epoch
    assert rates == pytest.approx([1.5e-3, 3e-3, 1.5e-3, 3e-3])
    assert not plain.snapshots, "they are made where they are asked for"
    made = [*trained.snapshots, predict_run(trained.network, data)]
    assert len(made) == CYCLES["cycles"]
    for predictions, epoch in zip(made, (2, 4), strict=True):
        ids, label, log_prob = predictions.splits["validation"]
        assert ids.tolist() == data.sample_id[data.rows["validation"]].tolist()
        row = trained.history[epoch - 1]
        assert top_k_accuracy(log_prob, label, 1) == pytest.approx(row["val_accuracy"])
        if architecture == "simcnn":  # whose loss has no penalty
            assert log_loss(log_prob, label) == pytest.approx(row["val_loss"], rel=1e-5)
    one, last = (each.splits["test"].log_prob for each in made)
    assert np.abs(one - last).max() > 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program leaves: a training that was left alone, and one that was killed in each of its cycles."""
    folder = tmp_path_factory.mktemp("trainings")
    done = subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_killed_training_ends_with_the_same_snapshots(folder: Path) -> None:
    assert json.loads((folder / "killed/record.json").read_text()) == [1, 1], "snapshots in the state of each kill"
    texts = [(folder / name / "history.json").read_text() for name in ("whole", "killed")]
    assert texts[0] == texts[1]
    with np.load(folder / "whole/snapshots.npz") as ours, np.load(folder / "killed/snapshots.npz") as theirs:
        for split in ("validation", "test"):
            assert ours[split].shape == (3, 12, 10)
            assert ours[split].tobytes() == theirs[split].tobytes()
            assert len({one.tobytes() for one in ours[split]}) == 3
