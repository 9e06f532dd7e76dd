"""``predictions.npz``: what a run or an ensemble says of the validation and the test split, and nothing else.

Arrays: ``classes`` (classes,), and for each of ``validation`` and ``test``: ``<split>_sample_id`` (n,),
``<split>_label`` (n,) and ``<split>_log_prob`` (n, classes) float32. No pickles, no dates: equal predictions give equal
files.

``snapshots.npz`` is what a run said at the end of each cycle of its schedule, in their order: the same arrays, but
``<split>_log_prob`` (snapshots, n, classes).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graft.errors import UserError

SPLITS = ("validation", "test")


class SplitPredictions(NamedTuple):
    """Of one split: sample ids (n,), labels (n,) int64, and natural logarithms of probabilities (n, classes) float32."""

    sample_id: np.ndarray
    label: np.ndarray
    log_prob: np.ndarray


class Predictions(NamedTuple):
    """Class names in the order of the labels, and the predictions of each split by its name."""

    classes: list[str]
    splits: Mapping[str, SplitPredictions]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits (n, classes) to log probabilities, float32, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised.astype(np.float32)


def save_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write predictions to ``path``, after the checks that :func:`load_predictions` makes."""
    for name, split in predictions.splits.items():
        check_split(str(path), name, split, len(predictions.classes))
    _write(path, predictions)


def save_snapshots(path: str | Path, snapshots: Sequence[Predictions]) -> None:
    """Write what one run said at several times, the last of them last, after the checks that :func:`load_snapshots` makes.

    Raises:
        UserError: one is of another form, or two differ in classes, samples or labels.
    """
    aligned = align({f"snapshot {number}": each for number, each in enumerate(snapshots, 1)})
    _each(str(path), aligned)
    _write(path, aligned)


def _write(path: str | Path, predictions: Predictions) -> None:
    arrays = {"classes": np.array(predictions.classes)}
    for name, split in predictions.splits.items():
        arrays |= {f"{name}_{field}": np.asarray(value) for field, value in split._asdict().items()}
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_predictions(path: str | Path) -> Predictions:
    """The predictions in a file.

    Raises:
        UserError: the file is not of this format, a probability is not finite, or a row's do not sum to one.
    """
    predictions = _read(path, "predictions")
    for name, split in predictions.splits.items():
        check_split(str(path), name, split, len(predictions.classes))
    return predictions


def load_snapshots(path: str | Path) -> list[Predictions]:
    """The predictions of each snapshot in a file, the last of them last.

    Raises:
        UserError: the file is not of this format, or a snapshot would be refused by :func:`load_predictions`.
    """
    return _each(str(path), _read(path, "snapshots"))


def _each(path: str, stacked: Predictions) -> list[Predictions]:
    """The members of predictions whose ``log_prob`` are (members, n, classes), each checked."""
    shapes = {name: split.log_prob.shape for name, split in stacked.splits.items()}
    if {len(shape) for shape in shapes.values()} != {3} or len({shape[0] for shape in shapes.values()} - {0}) != 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UserError(f"{path}: not a snapshots file: its probabilities are {shown}; not (snapshots, n, classes)")
    members = []
    for number in range(next(iter(shapes.values()))[0]):
        splits = {name: split._replace(log_prob=split.log_prob[number]) for name, split in stacked.splits.items()}
        for name, split in splits.items():
            check_split(path, name, split, len(stacked.classes))
        members.append(Predictions(stacked.classes, splits))
    return members


def _read(path: str | Path, kind: str) -> Predictions:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            classes = [str(name) for name in arrays["classes"]]
            splits = {
                split: SplitPredictions(*(arrays[f"{split}_{field}"] for field in SplitPredictions._fields))
                for split in SPLITS
            }
    except Exception as error:  # whatever a damaged archive provokes is the file's fault
        raise UserError(f"{path}: not a {kind} file: {error}") from error
    return Predictions(classes, splits)


def check_split(path: str, name: str, split: SplitPredictions, classes: int) -> None:
    """Raise a :class:`~graft.errors.UserError` that begins with ``path``, unless the arrays of a split fit together."""
    sample_id, label, log_prob = split
    kinds = [array.dtype.kind for array in split]
    if kinds not in (list("Uif"), list("Uuf")):
        types = ", ".join(str(array.dtype) for array in split)
        raise UserError(
            f"{path}: ids, labels and probabilities of the {name} split must be text, int, float; not {types}"
        )
    rows = sample_id.size
    if sample_id.shape != (rows,) or label.shape != (rows,) or log_prob.shape != (rows, classes):
        raise UserError(
            f"{path}: the {name} split has ids {sample_id.shape}, labels {label.shape}, probabilities {log_prob.shape}"
        )
    if len(np.unique(sample_id)) < rows:
        raise UserError(f"{path}: the {name} split names a sample twice")
    if rows and not (label.min() >= 0 and label.max() < classes):
        raise UserError(f"{path}: the {name} split has a label that is none of the {classes} classes")
    total = np.exp(log_prob.astype(np.float64)).sum(axis=1)
    if not np.allclose(total, 1, atol=1e-3):  # NaN fails this too
        raise UserError(f"{path}: probabilities of the {name} split are not finite or do not sum to one")


def _of_one_alone(first: str, second: str, ours: SplitPredictions, theirs: SplitPredictions) -> str:
    alone = np.setdiff1d(ours.sample_id, theirs.sample_id)
    owner, other = (first, second) if len(alone) else (second, first)
    alone = alone if len(alone) else np.setdiff1d(theirs.sample_id, ours.sample_id)
    more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
    return f"{owner} has {alone[0]}{more}, which {other} has not, in"


def align(members: Mapping[str, Predictions]) -> Predictions:
    """Bring members to one order of samples; ``log_prob`` is then (members, n, classes).

    Raises:
        UserError: two members differ in classes, samples or labels; the text names both.
    """
    (first_name, first), *rest = members.items()
    splits = {}
    for split, reference in first.splits.items():
        stacked = [reference.log_prob]
        for name, other in rest:
            pair = f"{first_name} and {name} cannot be combined"
            if other.classes != first.classes:
                raise UserError(f"{pair}: their classes differ: {first.classes} and {other.classes}")
            theirs = other.splits[split]
            order, ours = np.argsort(theirs.sample_id), np.argsort(reference.sample_id)
            if not np.array_equal(theirs.sample_id[order], reference.sample_id[ours]):
                raise UserError(f"{pair}: {_of_one_alone(first_name, name, reference, theirs)} the {split} split")
            rows = np.empty(len(ours), dtype=np.int64)
            rows[ours] = order
            if not np.array_equal(theirs.label[rows], reference.label):
                sample = reference.sample_id[theirs.label[rows] != reference.label][0]
                raise UserError(f"{pair}: they disagree on the label of {sample} in the {split} split")
            stacked.append(theirs.log_prob[rows])
        splits[split] = reference._replace(log_prob=np.stack(stacked))
    return Predictions(first.classes, splits)
