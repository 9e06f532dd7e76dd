"""Concatenation: members' embeddings side by side, and a new head that is trained on them."""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt

from graft.arrays import Data
from graft.embeddings import Embeddings, in_order
from graft.ensembles import Combined
from graft.ensembles.averages import equal_weights
from graft.ensembles.base import plain_weights
from graft.ensembles.temperature import best_temperature, scaled
from graft.errors import UserError
from graft.metrics import log_loss
from graft.predictions import SPLITS, Predictions, SplitPredictions, log_softmax
from graft.registry import part

log = logging.getLogger(__name__)

STRENGTHS = tuple(float(f"{10 ** (k / 2):.1g}") for k in range(-12, 3))
"""Values of ``C`` from 1e-6 to 10, the inverse of how much coefficients are held back, among which the validation split
chooses."""

RISE = 1.01
"""A validation loss of more than so many times the least ends the choice: under a strong penalty losses are nearly equal,
and rise and fall by chance."""

TOLERANCE = 1e-5
"""A fit ends when no element of the gradient of the mean loss is larger, or float32 can tell no further progress."""

ITERATIONS = 1000

AT_ONCE = 2**22
"""Activations that are standardised at a time: 32 MiB of float64."""

ARRAYS = ("sizes", "mean", "scale", "coefficients", "intercept", "seen", "counts")


# -- heads ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A multinomial logistic regression of d standardised activations, those of the members side by side.

    Of c classes, k had a training image; ``coefficients`` and ``intercept`` are of these.
    """

    sizes: np.ndarray
    """How many activations each member has, in order: (members,) integers whose sum is d."""
    mean: np.ndarray
    """Of the training images: (d,) float64."""
    scale: np.ndarray
    """Their standard deviation, or one where that is zero: (d,) float64."""
    coefficients: np.ndarray
    """(k, d) float32."""
    intercept: np.ndarray
    """(k,) float32."""
    seen: np.ndarray
    """The classes that had a training image: (k,) integers, ascending."""
    counts: np.ndarray
    """How many training images, and how many classes c, there were: (2,) integers."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Plain values about the fit, for ``ensemble.json``; not part of the file of a head."""

    @property
    def weights(self) -> list[float]:
        """Each member's share in the sum of squares of all coefficients: in what the variance of the logits, summed over
        classes, would be if activations were uncorrelated. Equal where all coefficients are zero."""
        squares = (self.coefficients.astype(np.float64) ** 2).sum(axis=0)
        shares = np.array([squares[columns].sum() for columns in _columns(self.sizes)])
        return plain_weights(shares / shares.sum() if shares.any() else equal_weights(len(shares)))

    def apply(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        """Log probabilities (m, c) float32 of embeddings (m, d_k) of each member, in the order of the fit.

        A class without a training image has the probability that Laplace's rule of succession gives it, one over the sum
        of training images and classes; the others share the rest as the logistic regression says.
        """
        images, classes = (int(count) for count in self.counts)
        result = np.full((len(embeddings[0]), classes), -np.log(images + classes), np.float32)
        rest = np.log1p(-(classes - len(self.seen)) / (images + classes))
        step = max(1, AT_ONCE // int(self.sizes.sum()))
        for start in range(0, len(result), step):
            logits = self._logits([embedding[start : start + step] for embedding in embeddings])
            result[start : start + step, self.seen] = log_softmax(logits) + np.float32(rest)
        return result

    def _logits(self, embeddings: Sequence[np.ndarray]) -> np.ndarray:
        total = np.tile(self.intercept.astype(np.float64), (len(embeddings[0]), 1))
        for columns, embedding in zip(_columns(self.sizes), embeddings, strict=True):
            standardised = (embedding - self.mean[columns]) / self.scale[columns]
            total += standardised @ self.coefficients[:, columns].T
        return total


def _columns(sizes: np.ndarray) -> Iterator[slice]:
    """Where each member's activations are among all."""
    ends = np.cumsum(sizes)
    return map(slice, ends - sizes, ends)


def save_head(path: str | Path, head: Head) -> None:
    """Write the arrays of a head to ``path``, a ``.npz`` without pickles or dates: equal heads give equal files."""
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: getattr(head, name) for name in ARRAYS})


def _fits_together(head: Head) -> bool:
    d, k = head.mean.size, head.seen.size
    shapes = {"sizes": (head.sizes.size,), "mean": (d,), "scale": (d,), "coefficients": (k, d), "intercept": (k,)}
    shapes |= {"seen": (k,), "counts": (2,)}
    return (
        [getattr(head, name).dtype.kind for name in ARRAYS] == list("iffffii")
        and all(getattr(head, name).shape == shape for name, shape in shapes.items())
        and int(head.sizes.sum()) == d
        and bool(np.isin(head.seen, np.arange(head.counts[1])).all())
    )


def load_head(path: str | Path) -> Head:
    """The head in a file, without the facts of its fit.

    Raises:
        UserError: the file is not of this format, its arrays do not fit together, or a number is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            head = Head(*(arrays[name] for name in ARRAYS))
    except Exception as error:  # whatever a damaged archive provokes is the file's fault
        raise UserError(f"{path}: not the head of an ensemble: {error}") from error
    if not _fits_together(head):
        raise UserError(f"{path}: not the head of an ensemble: its arrays do not fit together")
    if not all(np.isfinite(getattr(head, name)).all() for name in ARRAYS):
        raise UserError(f"{path}: not the head of an ensemble: a number is not finite")
    return head


# -- fitting -------------------------------------------------------------------------------------------------------------


def _standardised(embeddings: Sequence[np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rows of all members side by side, float32 (rows, d), of mean 0 and variance 1; and mean and scale."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import gen_batches

    sizes = np.array([embedding.shape[1] for embedding in embeddings])
    inputs = np.empty((len(rows), sizes.sum()), np.float32)
    for columns, embedding in zip(_columns(sizes), embeddings, strict=True):
        inputs[:, columns] = embedding[rows]
    scaler = StandardScaler(copy=False)
    for chunk in gen_batches(len(rows), max(1, AT_ONCE // inputs.shape[1])):  # for it works in float64
        scaler.partial_fit(inputs[chunk])
    return scaler.transform(inputs), scaler.mean_, scaler.scale_


def _logistic(inputs: np.ndarray, label: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients (k, d) and intercept (k,) of the k classes of ``label`` (n,), and how many iterations they took."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(label)) == 1:
        return np.zeros((1, inputs.shape[1]), np.float32), np.zeros(1, np.float32), 0
    model = LogisticRegression(C=strength, tol=TOLERANCE, max_iter=ITERATIONS)
    with warnings.catch_warnings():  # a fit that was stopped early is judged by its validation loss, as any
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(inputs, label)
    coefficients, intercept = model.coef_, model.intercept_
    if len(coefficients) == 1:  # of two classes, those of the second
        coefficients, intercept = (np.concatenate([0 * both, both]) for both in (coefficients, intercept))
    return coefficients, intercept, int(model.n_iter_[0])


@part("concat", reads="embeddings")
def concat(
    embeddings: Sequence[np.ndarray],
    label: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    C: Annotated[float, Gt(0)] | None = None,  # noqa: N803 (the name that it has in scikit-learn)
) -> Head:
    """A new head on what enters the heads of all members, side by side.

    The report that joins two networks so (Kebede, "Transfer Learning", University of Memphis, 2021, figure 5) does not
    describe its head. Here it is scikit-learn's multinomial ``LogisticRegression`` with an L2 penalty (Hastie, Tibshirani
    and Friedman, The Elements of Statistical Learning, 2nd edition 2009, section 4.4), fitted on the standardised
    activations of the training images.

    ``embeddings`` (n, d_k) float32 are those of a member each, ``label`` (n,) numbers classes from 0 and names each at
    least once, and ``train`` and ``validation`` are rows of both. Members may be of any size, and may have been trained
    on any data and classes.

    ``C`` is the inverse of the penalty's strength. Where it is not given, it is that of least validation log loss among
    ``STRENGTHS``, tried from the strongest penalty on until that loss is 1% above the least. Each fit starts from zero, so a head depends
    on its own ``C`` alone.

    Beside ``embeddings``, memory holds the activations of the training images once more, float32. An iteration takes about
    4 x images x activations x classes floating-point operations, of 40,000 images, 4,000 activations and 10 classes 0.4 s
    on one core; a fit takes tens to hundreds of iterations, and the choice of ``C`` about a dozen fits.
    """
    seen, sizes = np.unique(label[train]), np.array([embedding.shape[1] for embedding in embeddings])
    counts = np.array([len(train), label.max() + 1])
    inputs, mean, scale = _standardised(embeddings, train)
    held_out = [embedding[validation] for embedding in embeddings]
    best, least = None, math.inf
    for strength in STRENGTHS if C is None else (C,):
        coefficients, intercept, iterations = _logistic(inputs, label[train], strength)
        head = Head(sizes, mean, scale, coefficients, intercept, seen, counts)
        loss = log_loss(head.apply(held_out), label[validation])
        log.info("C %g: validation log loss %.4f after %d iterations", strength, loss, iterations)
        if loss < least:
            facts = {"C": strength, "validation_log_loss": loss, "iterations": iterations}
            best, least = replace(head, facts=facts | {"activations": sizes.tolist()}), loss
        elif loss > RISE * least:
            break
    assert best is not None
    return best


def concatenate(
    members: Mapping[str, Embeddings], data: Data, method: Mapping[str, Any], temperature: bool = False
) -> tuple[Combined, Head]:
    """Fit the head that ``method`` describes on the members' embeddings, and apply it to validation and test split.

    ``data`` says which samples are in which split, and their labels; its inputs are not looked at. With ``temperature``,
    what comes out is divided by the temperature of least validation log loss and normalised; the head is as it was fitted.

    Raises:
        UserError: a member has no embedding of a sample that is in a split.
    """
    used = np.sort(np.concatenate(list(data.rows.values())))
    rows = {split: np.searchsorted(used, chosen) for split, chosen in data.rows.items()}
    sample_id, label = data.sample_id[used], data.label[used]
    embeddings = in_order(members, sample_id)
    options = {key: value for key, value in method.items() if key != "name"}
    head = concat(embeddings, label, rows["train"], rows["validation"], **options)
    log_prob = {split: head.apply([embedding[rows[split]] for embedding in embeddings]) for split in SPLITS}
    best = best_temperature(log_prob["validation"], label[rows["validation"]]) if temperature else None
    splits = {
        split: SplitPredictions(sample_id[rows[split]], label[rows[split]], scaled(found, best) if best else found)
        for split, found in log_prob.items()
    }
    return Combined(Predictions(data.classes, splits), head.weights, dict(head.facts), best), head
