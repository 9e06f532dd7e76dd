"""How a network is trained and what it then predicts; Keras only, whatever the backend."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from graft.errors import UserError
from graft.predictions import log_softmax

log = logging.getLogger(__name__)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of chosen rows of memory-mapped arrays; with a seed, in an order drawn anew for each pass.

    The order depends on seed and pass alone; rows are then read in ascending order within a batch. Without a seed the
    order is that of ``rows``. An epoch is one pass, or so many ``steps``, whatever the number of passes that makes.
    """

    def __init__(
        self,
        inputs: Sequence[np.ndarray],
        labels: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.labels, self.rows = inputs, labels, rows
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._of_pass = math.ceil(len(rows) / batch_size)
        self._steps = steps or self._of_pass
        self._drawn = (-1, rows)

    def _order(self, number: int) -> np.ndarray:
        if self.seed is None:
            return self.rows
        if self._drawn[0] != number:
            self._drawn = (number, np.random.default_rng([self.seed, number]).permutation(self.rows))
        return self._drawn[1]

    @property
    def images(self) -> int:
        """How many images an epoch has, in the mean over many."""
        return len(self.rows) * self._steps // self._of_pass

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> tuple[Any, np.ndarray]:
        number_of_pass, k = divmod(self.epoch * self._steps + number, self._of_pass)
        rows = self._order(number_of_pass)[k * self.batch_size : (k + 1) * self.batch_size]
        rows = rows if self.seed is None else np.sort(rows)
        arrays = tuple(np.asarray(array[rows]) for array in self.inputs)
        return arrays if len(arrays) > 1 else arrays[0], self.labels[rows]

    def on_epoch_end(self) -> None:
        self.epoch += 1


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Logs each epoch, hands it on, and stops a run whose loss is no number."""

    def __init__(self, epochs: int, on_epoch: Callable[[int, Mapping[str, float]], None] | None) -> None:
        super().__init__()
        self.epochs, self.on_epoch = epochs, on_epoch
        self.history: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        rate = _rate(self.model.optimizer)
        self.history.append({"epoch": epoch + 1, **values, "learning_rate": rate})
        log.info("epoch %d/%d  %s", epoch + 1, self.epochs, "  ".join(f"{k} {v:.4f}" for k, v in values.items()))
        if not all(math.isfinite(value) for value in values.values()):
            raise DivergedError(epoch + 1, values)
        if self.on_epoch:
            self.on_epoch(epoch + 1, values)


class DivergedError(UserError):
    """The loss is not finite: the learning rate is too high for this network."""

    def __init__(self, epoch: int, values: Mapping[str, float]) -> None:
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        super().__init__(f"training diverged in epoch {epoch} ({shown}); lower train.learning_rate")


def _schedule(schedule: Mapping[str, Any], rate: float, steps: int, warmup_steps: int) -> Any:
    if schedule["name"] == "inverse_time":
        return keras.optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=schedule["decay"])
    if schedule["name"] == "cosine":
        start = {"warmup_target": rate, "warmup_steps": warmup_steps} if warmup_steps else {}
        return keras.optimizers.schedules.CosineDecay(0.0 if warmup_steps else rate, steps - warmup_steps, **start)
    return rate


def _by_layer(make: Callable[[float], Any], factors: Mapping[str, float]) -> Any:
    """One optimizer for each factor, which updates the variables of the layers that have it."""
    optimizers = {factor: make(factor) for factor in sorted(set(factors.values()), reverse=True)}

    def choose(variable: Any) -> Any:
        return optimizers[next(factors[name] for name in variable.path.split("/") if name in factors)]

    return keras.optimizers.MultiOptimizer(choose)


def _rate(optimizer: Any) -> float:
    """The learning rate now; of several, that of the fastest."""
    each = getattr(optimizer, "optimizers", [optimizer])
    return max(float(keras.ops.convert_to_numpy(one.learning_rate)) for one in each)


def compile_network(
    network: Any,
    steps: int,
    *,
    optimizer: Mapping[str, Any],
    learning_rate: float,
    schedule: Mapping[str, Any],
    warmup_steps: int = 0,
    factors: Mapping[str, float] | None = None,
) -> None:
    """Give ``network``, which returns logits, its loss, its metric and its optimizer for ``steps`` steps in all.

    ``optimizer`` is its Keras name under ``name`` and its options. So is ``schedule``: ``constant``; ``cosine``
    (Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts), after ``warmup_steps`` in which the rate grows
    evenly from zero (Goyal et al., arXiv 1706.02677, section 2.2); or ``inverse_time``, where the rate of step t is
    ``learning_rate / (1 + decay * t)``, as the ``decay`` of Keras' optimizers before 2.11 had it. ``factors`` multiply the
    rate by the name of the layer.
    """

    def make(factor: float) -> Any:
        rate = _schedule(schedule, factor * learning_rate, steps, warmup_steps)
        options = {key: value for key, value in optimizer.items() if key != "name"}
        return keras.optimizers.get({"class_name": optimizer["name"], "config": options | {"learning_rate": rate}})

    network.compile(
        optimizer=_by_layer(make, factors) if factors else make(1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def train_network(
    network: Any,
    train: Batches,
    validation: Batches,
    *,
    epochs: int,
    first: int = 0,
    early_stopping: Mapping[str, Any] | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train a compiled network; returns one row per epoch: loss, accuracy, val_loss, val_accuracy, learning rate.

    The epochs are numbered on from ``first``, that of those that were before. ``early_stopping`` (``metric``,
    ``patience``) watches the validation split and restores the best epoch's weights.

    Raises:
        DivergedError: the loss is not finite.
    """
    record = _Epochs(first + epochs, on_epoch)
    callbacks: list[Any] = [record]
    if early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                early_stopping["metric"], patience=early_stopping["patience"], restore_best_weights=True
            )
        )
    # Keras would shuffle the batches besides, from a global generator that no resumed run could restore.
    network.fit(
        train,
        validation_data=validation,
        initial_epoch=first,
        epochs=first + epochs,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return record.history


def predict_log_prob(network: Any, batches: Batches) -> np.ndarray:
    """Log probabilities (n, classes) float32, in the order of the rows of ``batches``, which must have no seed."""
    logits = [keras.ops.convert_to_numpy(network.predict_on_batch(batches[k][0])) for k in range(len(batches))]
    return log_softmax(np.concatenate(logits))
