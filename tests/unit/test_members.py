from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB

from graft.ensembles import Combined
from graft.errors import UserError
from graft.files import record_sums
from graft.members import against_best, describe_ensemble, member_table, merge_folds, read_members
from graft.predictions import Predictions, SplitPredictions, save_predictions, save_snapshots

IMAGES, LABELS = load_digits(n_class=3, return_X_y=True)
TRAIN, TEST = np.arange(300), np.arange(300, 400)


def says(classifier: Any, rows: np.ndarray) -> SplitPredictions:
    return SplitPredictions(
        np.array([f"id{row}" for row in rows]),
        LABELS[rows].astype(np.int64),
        classifier.predict_log_proba(IMAGES[rows]).clip(-50).astype(np.float32),
    )


def classifier(rows: np.ndarray, smoothing: float = 1e-2) -> GaussianNB:
    return GaussianNB(var_smoothing=smoothing).fit(IMAGES[rows], LABELS[rows])


def of_run(smoothing: float = 1e-2) -> Predictions:
    fitted = classifier(TRAIN[:200], smoothing)
    return Predictions(list("012"), {"validation": says(fitted, TRAIN[200:]), "test": says(fitted, TEST)})


@pytest.fixture
def folds() -> dict[str, Predictions]:
    """Classifiers of digits, each fitted without one fold."""
    parts = StratifiedKFold(4).split(TRAIN, LABELS[TRAIN])
    return {
        f"fold {k}": Predictions(
            list("012"), {"validation": says(classifier(seen), held_out), "test": says(classifier(seen), TEST)}
        )
        for k, (seen, held_out) in enumerate(parts)
    }


def test_folds_predict_each_image_by_the_network_that_did_not_see_it(folds: dict[str, Predictions]) -> None:
    merged = merge_folds(folds).splits["validation"]
    by_id = {str(name): row for name, row in zip(merged.sample_id, merged.log_prob, strict=True)}
    assert set(by_id) == {f"id{row}" for row in TRAIN}
    for seen, held_out in StratifiedKFold(4).split(TRAIN, LABELS[TRAIN]):
        expected = says(classifier(seen), held_out).log_prob
        np.testing.assert_array_equal([by_id[f"id{row}"] for row in held_out], expected)


def test_the_test_split_of_folds_is_the_mean_of_their_probabilities(folds: dict[str, Predictions]) -> None:
    test = merge_folds(folds).splits["test"]
    mean = np.mean([np.exp(fold.splits["test"].log_prob) for fold in folds.values()], axis=0)
    np.testing.assert_allclose(np.exp(test.log_prob), mean, atol=1e-6)
    assert test.label.tolist() == LABELS[TEST].tolist()


def test_folds_that_hold_out_the_same_image_are_refused(folds: dict[str, Predictions]) -> None:
    folds["fold 3"] = folds["fold 0"]
    with pytest.raises(UserError, match="two of these folds hold out the same image"):
        merge_folds(folds)


def saved(folder: Path, predictions: Predictions, name: str = "predictions.npz") -> Path:
    folder.mkdir(parents=True)
    save_predictions(folder / name, predictions)
    record_sums(folder / "SHA256SUMS", [folder / name])
    return folder / name


def entry(kind: str, member: str, count: int = 1, **more: Any) -> dict[str, Any]:
    return {"member": member, "kind": kind, "dataset": "digits", "count": count, "networks": []} | more


@pytest.fixture
def files(tmp_path: Path, folds: dict[str, Predictions]) -> dict[str, list[Path]]:
    """What runs, folds, a search and snapshots leave, as their jobs do."""
    trials = tmp_path / "trials"
    trials.mkdir()
    for number, smoothing in {0: 1.0, 3: 1e-1, 10: 1e-2}.items():
        save_predictions(trials / f"{number}.npz", of_run(smoothing))
    record_sums(trials / "SHA256SUMS", sorted(trials.glob("*.npz")))
    cycles = tmp_path / "cycles/snapshots.npz"
    cycles.parent.mkdir()
    save_snapshots(cycles, [of_run(smoothing) for smoothing in (1.0, 1e-1, 1e-2)])
    record_sums(cycles.parent / "SHA256SUMS", [cycles])
    return {
        "run": [saved(tmp_path / "run", of_run())],
        "folds": [saved(tmp_path / name, fold) for name, fold in folds.items()],
        "trials": [trials / "SHA256SUMS"],
        "snapshots": [cycles],
        "file": [saved(tmp_path / "elsewhere", of_run(1e-1), "other.npz")],
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (entry("run", "nb seed 0", model="nb", seed=0), {"nb seed 0": 1e-2}),
        (entry("trials", "nb trial"), {"nb trial 0": 1.0, "nb trial 3": 1e-1, "nb trial 10": 1e-2}),
        (entry("trials", "nb trial", most=2), {"nb trial 0": 1.0, "nb trial 3": 1e-1}),
        (entry("snapshots", "nb seed 0 snapshot", most=2), {"nb seed 0 snapshot 2": 1e-1, "nb seed 0 snapshot 3": 1e-2}),
        (entry("file", "other"), {"other": 1e-1}),
    ],
    ids=["run", "trials", "the best trials", "the last snapshots", "file"],
)  # fmt: skip
def test_members_of_each_kind(
    files: dict[str, list[Path]], tmp_path: Path, given: dict[str, Any], expected: dict[str, float]
) -> None:
    found = read_members([given], files[given["kind"]], None, tmp_path)
    assert list(found) == list(expected)
    for name, smoothing in expected.items():
        for split, whole in of_run(smoothing).splits.items():
            np.testing.assert_array_equal(found[name].predictions.splits[split].log_prob, whole.log_prob)


def test_folds_are_one_member_beside_the_paths_of_all(files: dict[str, list[Path]], tmp_path: Path) -> None:
    found = read_members([entry("folds", "nb folds", 4)], files["folds"], None, tmp_path)
    assert len(found["nb folds"].predictions.splits["validation"].label) == len(TRAIN)
    assert found["nb folds"].facts["predictions"] == [f"fold {k}/predictions.npz" for k in range(4)]


def test_the_best_members_are_those_of_least_validation_log_loss(files: dict[str, list[Path]], tmp_path: Path) -> None:
    entries = [entry("trials", "nb trial"), entry("file", "other"), entry("run", "nb seed 0")]
    paths = files["trials"] + files["file"] + files["run"]
    # Smoothed more, these are less certain, and wrong at less cost: the loss falls from trial 10 to trial 0.
    assert list(read_members(entries, paths, 2, tmp_path)) == ["nb trial 0", "nb trial 3"]
    assert len(read_members(entries, paths, 9, tmp_path)) == 5


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("spoil", [damage, Path.unlink], ids=["damaged", "missing"])
def test_a_spoilt_member_is_named(files: dict[str, list[Path]], tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    (path,) = files["run"]
    spoil(path)
    with pytest.raises(UserError) as error:
        read_members([entry("run", "nb seed 0")], [path], None, tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_written_of_members(files: dict[str, list[Path]], tmp_path: Path) -> None:
    members = read_members([entry("trials", "nb trial", most=2, model="nb")], files["trials"], None, tmp_path)
    predictions = {name: member.predictions for name, member in members.items()}
    combined = Combined(of_run(), [0.25, 0.75], {}, None)
    described = describe_ensemble(
        [member.facts for member in members.values()],
        combined,
        predictions,
        method={"name": "soft_vote"},
        preparation={"resize": "squash"},
    )
    assert list(described) == ["method", "best_member", "classes", "preparation", "members"]
    assert described["members"][0] == {
        "member": "nb trial 0",
        "kind": "trials",
        "dataset": "digits",
        "networks": [],
        "model": "nb",
        "trial": 0,
        "predictions": ["trials/0.npz"],
        "weight": 0.25,
    }
    row = {"member": "nb trial 3", "kind": "trials", "dataset": "digits", "model": "nb", "seed": None, "weight": 0.75}
    assert member_table(described)[1] == row


def test_the_gain_of_an_ensemble_is_over_the_member_of_least_validation_loss_on_the_test_split() -> None:
    members = {"sharp": of_run(1e-2), "smooth": of_run(1.0)}
    label = LABELS[TEST]
    right = np.full((len(TEST), 3), -20.0, np.float32)
    right[np.arange(len(TEST)), label] = 0
    perfect = of_run()._replace(
        splits=of_run().splits | {"test": says(classifier(TRAIN), TEST)._replace(log_prob=right)}
    )
    gain = against_best(members, perfect)
    hits = members["smooth"].splits["test"].log_prob.argmax(axis=1) == label
    assert gain["member"] == "smooth"  # the less certain is wrong at less cost
    assert gain["top1"] == pytest.approx(hits.mean())
    assert gain["difference"] == pytest.approx(1 - hits.mean())
    wrong = int((~hits).sum())
    assert gain["p"] == pytest.approx(min(1, 2 * 0.5**wrong), rel=0.2)  # all differences have one sign
    assert 0 <= gain["difference_low"] < gain["difference"] < gain["difference_high"]
    assert against_best({}, perfect) == {}
