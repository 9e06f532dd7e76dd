"""Stacking: a model that is fitted on what the members say of the validation split."""

import math
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge

from graft.ensembles.averages import arithmetic_mean, by_rows, equal_weights
from graft.ensembles.base import Combination, plain_weights
from graft.metrics import log_loss
from graft.predictions import log_softmax
from graft.registry import part

Function = Callable[[np.ndarray], np.ndarray]
"""Of log probabilities (members, n, classes)."""

LEAST = -28.0
"""A log probability below this, about 1e-12, counts as this: inputs are finite."""

IMAGES_PER_INPUT = 10
"""With fewer validation images than this for each input, a model gets fewer inputs."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of ``C``, the inverse of how much coefficients are held back, among which cross-fitting chooses."""

ITERATIONS = (10, 30, 100)
"""Numbers of boosting iterations among which it chooses."""

AT_ONCE = 2**24
"""Values that a fitted model is applied to at a time."""


class Learner(NamedTuple):
    """A kind of model: what it is fitted with, and the values of its one setting, among which cross-fitting chooses."""

    name: str
    fit: Callable[[np.ndarray, np.ndarray, int, Any], Function]
    """Log probabilities (members, n, classes), labels below ``k`` (n,), k and the setting, to what gives logits (n, k)."""
    setting: str
    values: tuple[Any, ...]


# -- kinds of models -----------------------------------------------------------------------------------------------------


def _per_image(log_prob: np.ndarray) -> np.ndarray:
    """All that the members say of an image as its inputs: (n, members x classes), float64."""
    rows = log_prob.shape[1]
    inputs: np.ndarray = np.maximum(log_prob, LEAST).transpose(1, 0, 2).reshape(rows, -1).astype(np.float64)
    return inputs


def _mean_per_image(log_prob: np.ndarray) -> np.ndarray:
    """The members' mean log probabilities as inputs: (n, classes), float64."""
    mean: np.ndarray = np.maximum(log_prob, LEAST).mean(axis=0, dtype=np.float64)
    return mean


def _logits_of(model: Any, inputs: Function) -> Function:
    def logits(log_prob: np.ndarray) -> np.ndarray:
        decision = model.decision_function(inputs(log_prob))
        return np.stack([np.zeros_like(decision), decision], axis=1) if decision.ndim == 1 else decision

    return logits


def _logistic(log_prob: np.ndarray, label: np.ndarray, count: int, strength: float) -> Function:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
    with warnings.catch_warnings():  # a fit that was stopped early is judged by its cross-fitted loss, as any
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_per_image(log_prob), label)
    return _logits_of(model, _per_image)


def _boosting(inputs: Function, seed: int) -> Callable[[np.ndarray, np.ndarray, int, int], Function]:
    def fit(log_prob: np.ndarray, label: np.ndarray, count: int, iterations: int) -> Function:
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(max_iter=iterations, early_stopping=False, random_state=seed)
        return _logits_of(model.fit(inputs(log_prob), label), inputs)

    return fit


def _shared(log_prob: np.ndarray, label: np.ndarray, count: int, strength: float) -> Function:
    """Logits that are a weighted sum of the members' log probabilities, and a bias for each class.

    The penalty is that of scikit-learn's ``LogisticRegression``, but draws weights to those of the geometric mean: what is
    penalised is by how many times a member's weight is higher than one over the number of members.
    """
    from scipy.optimize import minimize

    members, rows, _ = log_prob.shape
    flat = np.maximum(log_prob, np.float32(LEAST)).reshape(members, -1)
    flat /= members
    image = np.arange(rows)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        more, bias = np.split(parameters, [members])
        logits = ((1 + more).astype(flat.dtype) @ flat).reshape(rows, count) + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        residual = np.exp(log_p)
        residual[image, label] -= 1
        by_weight = flat @ residual.ravel().astype(flat.dtype)
        gradient = np.concatenate([by_weight, residual.sum(axis=0)]) / rows
        penalty = 1 / (strength * rows)
        value = -log_p[image, label].mean() + penalty / 2 * (parameters @ parameters)
        return value, gradient + penalty * parameters

    found = minimize(loss, np.zeros(members + count), jac=True, method="L-BFGS-B", options={"ftol": 1e-8})
    more, bias = np.split(found.x, [members])
    weights = ((1 + more) / members).astype(np.float32)
    return lambda others: np.tensordot(weights, np.maximum(others, np.float32(LEAST)), 1) + bias


def _learner(model: str, members: int, rows: int, classes: int, seed: int) -> Learner:
    enough = rows >= IMAGES_PER_INPUT * members * classes
    if model == "logistic":
        if enough:
            return Learner("logistic regression", _logistic, "C", STRENGTHS)
        return Learner("one weight per member and one bias per class", _shared, "C", STRENGTHS)
    inputs = (_per_image, "boosting") if enough else (_mean_per_image, "boosting of mean log probabilities")
    return Learner(inputs[1], _boosting(inputs[0], seed), "max_iter", ITERATIONS)


# -- fitting and judging -------------------------------------------------------------------------------------------------


def _fit(learner: Learner, log_prob: np.ndarray, label: np.ndarray, value: Any) -> Function:
    """What gives log probabilities (n, classes) of all classes.

    A class that ``label`` lacks has its probability from the soft vote, and the others share the rest as the model says.
    """
    seen, own = np.unique(label, return_inverse=True)
    whole = len(seen) == log_prob.shape[2]
    model = learner.fit(log_prob if whole else log_prob[:, :, seen], own, len(seen), value) if len(seen) > 1 else None

    def apply(chunk: np.ndarray) -> np.ndarray:
        result = arithmetic_mean(chunk)
        rest = np.logaddexp.reduce(result[:, seen], axis=1, keepdims=True)
        logits = model(chunk[:, :, seen]) if model else np.zeros((len(result), 1))
        result[:, seen] = log_softmax(logits) + rest
        return result

    return lambda others: by_rows(apply, others, AT_ONCE)


def _cross_fitted(learner: Learner, log_prob: np.ndarray, label: np.ndarray, folds: int, seed: int) -> list[float]:
    """For each value of the setting, the log loss on images that a model was not fitted on."""
    from sklearn.model_selection import KFold

    total = np.zeros(len(learner.values))
    for inside, outside in KFold(min(folds, len(label)), shuffle=True, random_state=seed).split(label):
        for k, value in enumerate(learner.values):
            apply = _fit(learner, log_prob[:, inside], label[inside], value)
            total[k] += log_loss(apply(log_prob[:, outside]), label[outside]) * len(outside)
    return [float(loss) for loss in total / len(label)]


def _importance(apply: Function, log_prob: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """How much the log loss rises when a member speaks of other images, as its share of all such rises: (members,)."""
    order = np.random.default_rng(seed).permutation(len(label))
    loss = log_loss(apply(log_prob), label)
    changed, rises = log_prob.copy(), np.zeros(len(log_prob))
    for member, true in enumerate(log_prob):
        changed[member] = true[order]
        rises[member] = max(log_loss(apply(changed), label) - loss, 0)
        changed[member] = true
    known = np.isfinite(rises).all() and rises.any()
    return rises / rises.sum() if known else equal_weights(len(rises))


@part("stacking")
def stacking(
    log_prob: np.ndarray,
    label: np.ndarray,
    *,
    model: Literal["logistic", "boosting"] = "logistic",
    folds: Annotated[int, Ge(2)] = 5,
    seed: Annotated[int, Ge(0)] = 0,
) -> Combination:
    """A model of the members' log probabilities (Wolpert, Stacked Generalization, Neural Networks 5, 1992).

    ``logistic`` is scikit-learn's multinomial ``LogisticRegression`` of standardised inputs, ``boosting`` its ``HistGradientBoostingClassifier``;
    the strength ``C`` of the one and the iterations of the other are those of least cross-fitted log loss. With fewer than
    ten images for each of members x classes inputs, ``logistic`` has one weight per member and a bias per class, and
    ``boosting`` the members' mean log probabilities as inputs. Where the cross-fitted log loss is not below that of the
    arithmetic soft vote, the soft vote is what is applied. A class without a validation image keeps the probability of the
    soft vote. A weight says how much the validation log loss rises when that member's predictions are shuffled among
    images, as a share of all members' rises.
    """
    members, rows, classes = log_prob.shape
    learner = _learner(model, members, rows, classes, seed)
    plain = log_loss(arithmetic_mean(log_prob), label)
    losses = _cross_fitted(learner, log_prob, label, folds, seed) if rows > 1 else [math.inf]
    loss, value = min(zip(losses, learner.values, strict=False))
    facts = {
        "model": learner.name,
        learner.setting: value,
        "cross_fitted_log_loss": loss if math.isfinite(loss) else None,
        "soft_vote_log_loss": plain if math.isfinite(plain) else None,
    }
    if not loss < plain:
        weights = plain_weights(equal_weights(members))
        return Combination(weights, arithmetic_mean, {"applied": "soft_vote", **facts})
    apply = _fit(learner, log_prob, label, value)
    return Combination(
        plain_weights(_importance(apply, log_prob, label, seed)), apply, {"applied": "stacking", **facts}
    )
