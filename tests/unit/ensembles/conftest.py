"""Members to combine: classifiers of real digits, and drawn probabilities of any shape."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from graft.predictions import Predictions, SplitPredictions, log_softmax


class Digits(NamedTuple):
    """Classifiers fitted on 60 digits from 0 to 4, and what they say of 300 for validation and of the others."""

    classifiers: list[Any]
    inputs: dict[str, np.ndarray]
    label: dict[str, np.ndarray]
    log_prob: dict[str, np.ndarray]

    def members(self) -> dict[str, Predictions]:
        """What :func:`graft.ensembles.combine` takes."""
        return {
            type(classifier).__name__: Predictions(
                [str(digit) for digit in range(5)],
                {
                    split: SplitPredictions(
                        np.array([f"{split}{k}" for k in range(len(label))]), label, self.log_prob[split][number]
                    )
                    for split, label in self.label.items()
                },
            )
            for number, classifier in enumerate(self.classifiers)
        }


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a job, which has one: threads of boosting wait long for each other on a busy machine."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.ensembles.stacking.ITERATIONS", (2, 8))


@pytest.fixture(scope="session")
def digits() -> Digits:
    inputs, label = load_digits(n_class=5, return_X_y=True)
    classifiers = [
        GaussianNB(var_smoothing=1e-3),
        BernoulliNB(binarize=8),
        DecisionTreeClassifier(max_depth=6, min_samples_leaf=3, random_state=0),
        LogisticRegression(C=1e-3, max_iter=1000),
    ]
    for classifier in classifiers:
        classifier.fit(inputs[:60], label[:60])
    parts = {"validation": slice(60, 360), "test": slice(360, None)}
    with np.errstate(divide="ignore"):
        log_prob = {
            split: np.stack([np.log(one.predict_proba(inputs[rows])) for one in classifiers]).astype(np.float32)
            for split, rows in parts.items()
        }
    return Digits(
        classifiers,
        {split: inputs[rows] for split, rows in parts.items()},
        {split: label[rows] for split, rows in parts.items()},
        log_prob,
    )


@pytest.fixture(scope="session")
def drawn() -> Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]:
    """Log probabilities (members, rows, classes), some of them all but certain, and labels (rows,)."""

    def draw(seed: int, members: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        logits = random.normal(size=(members * rows, classes)) * random.choice([1, 10, 100])
        return log_softmax(logits).reshape(members, rows, classes), random.integers(0, classes, rows)

    return draw
