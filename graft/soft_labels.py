"""``soft_labels.npz``: what an ensemble says of the training images, from which another network learns.

Arrays: ``classes`` (classes,), ``sample_id`` (n,) and ``log_prob`` (n, classes) float32. No pickles, no dates: equal labels
give equal files.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from graft.errors import UserError
from graft.predictions import log_softmax


class SoftLabels(NamedTuple):
    """Class names, sample ids (n,), and natural logarithms of probabilities (n, classes) float32."""

    classes: list[str]
    sample_id: np.ndarray
    log_prob: np.ndarray


def save_soft_labels(path: str | Path, labels: SoftLabels) -> None:
    """Write soft labels to ``path``, after the checks that :func:`load_soft_labels` makes."""
    _check(path, labels)
    arrays = {"classes": np.array(labels.classes), "sample_id": labels.sample_id, "log_prob": labels.log_prob}
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_soft_labels(path: str | Path) -> SoftLabels:
    """The soft labels in a file.

    Raises:
        UserError: the file is not of this format, a probability is not finite, or a row's do not sum to one.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labels = SoftLabels([str(name) for name in arrays["classes"]], arrays["sample_id"], arrays["log_prob"])
    except Exception as error:  # whatever a damaged archive provokes is the file's fault
        raise UserError(f"{path}: not a file of soft labels: {error}") from error
    _check(path, labels)
    return labels


def _check(path: str | Path, labels: SoftLabels) -> None:
    classes, sample_id, log_prob = labels
    rows = sample_id.size
    if sample_id.dtype.kind != "U" or log_prob.dtype != np.float32:
        raise UserError(f"{path}: ids must be text and probabilities float32; not {sample_id.dtype}, {log_prob.dtype}")
    if sample_id.shape != (rows,) or log_prob.shape != (rows, len(classes)):
        raise UserError(
            f"{path}: has ids {sample_id.shape}, probabilities {log_prob.shape}, and {len(classes)} classes"
        )
    if len(np.unique(sample_id)) < rows:
        raise UserError(f"{path}: names a sample twice")
    if not np.allclose(np.exp(log_prob.astype(np.float64)).sum(axis=1), 1, atol=1e-3):  # NaN fails this too
        raise UserError(f"{path}: its probabilities are not finite or do not sum to one")


def in_rows(labels: SoftLabels, sample_id: np.ndarray, rows: np.ndarray, classes: list[str]) -> np.ndarray:
    """The log probabilities of the images in ``rows`` of ``sample_id`` (n,): (n, classes) float32, NaN in other rows.

    Raises:
        UserError: the labels are of other classes, or one of those images has none.
    """
    if labels.classes != classes:
        raise UserError(f"soft labels are of other classes: {labels.classes} there, and {classes} here")
    order = np.argsort(labels.sample_id)
    wanted = sample_id[rows]
    place = np.searchsorted(labels.sample_id, wanted, sorter=order)
    found = order[np.minimum(place, len(order) - 1)] if len(order) else place
    missing = np.ones(len(wanted), bool) if not len(order) else labels.sample_id[found] != wanted
    if missing.any():
        raise UserError(
            f"soft labels lack {missing.sum()} of {len(wanted)} training images, such as sample {wanted[missing][0]}"
        )
    aligned = np.full((len(sample_id), len(classes)), np.nan, np.float32)
    aligned[rows] = labels.log_prob[found]
    return aligned


def targets(log_prob: np.ndarray, one_hot: np.ndarray, *, temperature: float = 1.0, weight: float = 1.0) -> np.ndarray:
    """What a student is trained to say: ``weight * softmax(log_prob / temperature) + (1 - weight) * one_hot``, float32.

    ``log_prob`` (n, classes) are an ensemble's, ``one_hot`` (n, classes) is one for the true class. Cross entropy is linear
    in its targets, so this is the weighted mean of two cross entropies, as in Hinton, Vinyals and Dean, arXiv 1503.02531,
    section 2, with one difference: there, both the ensemble's and the student's logits are divided by the temperature in
    the first of them, which is then multiplied by the temperature squared, for its gradients shrink as one over that; here
    the ensemble's alone are, so gradients need no factor. At temperature 1 the two are the same.
    """
    taught = np.exp(log_softmax(log_prob.astype(np.float64) / temperature))
    mixed: np.ndarray = np.float32(weight) * taught + np.float32(1 - weight) * one_hot
    return mixed.astype(np.float32)
