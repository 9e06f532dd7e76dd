"""How a network is trained and what it then predicts; Keras only, whatever the backend."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
from scipy.special import logsumexp

from graft.backends import device_names
from graft.checkpoints import Checkpoints, State
from graft.errors import StoppedError, UserError
from graft.predictions import log_softmax
from graft.signals import Request, until_asked_to_end

log = logging.getLogger(__name__)

OnEpoch = Callable[[int, Mapping[str, float]], None]
SECONDS_BETWEEN_LINES = 60
SMALLER_IS_BETTER = {"val_loss"}


# -- batches -------------------------------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of chosen rows of memory-mapped arrays; with a seed, in an order drawn anew for each pass.

    The order depends on seed and pass alone; rows are then read in ascending order within a batch. Without a seed the
    order is that of ``rows``. Where arrays hold more rows than there are labels, these are further views of the same, and
    passes with a seed take them in turn. An epoch is one pass, or so many ``steps``, whatever the number of passes that makes.
    ``change`` makes of a batch what the network sees: ``change(arrays, labels, rows, number of pass, number of batch)``
    returns what ``fit`` takes. The rows of each batch are a multiple of ``multiple_of`` if ``batch_size`` is, for which a
    pass leaves out fewer than that of ``rows``, the last of its order.
    """

    def __init__(
        self,
        inputs: Sequence[np.ndarray],
        labels: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        steps: int | None = None,
        change: Callable[..., tuple[Any, ...]] | None = None,
        multiple_of: int = 1,
    ) -> None:
        super().__init__()
        self.inputs, self.labels, self.rows = inputs, labels, rows
        self.batch_size, self.seed, self.change = batch_size, seed, change
        self._rows_of_pass = len(rows) // multiple_of * multiple_of
        self._of_pass = math.ceil(self._rows_of_pass / batch_size)
        self.steps = steps or self._of_pass
        self._drawn = (-1, rows)
        self.start(0)

    def start(self, epoch: int, step: int = 0) -> None:
        """Go to a step of an epoch, both counted from zero: these batches then end with that epoch."""
        self._epoch, self._step = epoch, step

    def _order(self, number: int) -> np.ndarray:
        if self.seed is None:
            return self.rows
        if self._drawn[0] != number:
            self._drawn = (number, np.random.default_rng([self.seed, number]).permutation(self.rows))
        return self._drawn[1]

    def _view(self, number_of_pass: int) -> int:
        """Which view of the images a pass sees: 0 is the images themselves."""
        views = len(self.inputs[0]) // len(self.labels) - 1
        return 1 + number_of_pass % views if views and self.seed is not None else 0

    @property
    def images(self) -> int:
        """How many images an epoch has, in the mean over many."""
        return self._rows_of_pass * self.steps // self._of_pass

    def __len__(self) -> int:
        return self.steps - self._step

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        number_of_pass, k = divmod(self._epoch * self.steps + self._step + number, self._of_pass)
        rows = self._order(number_of_pass)[: self._rows_of_pass][k * self.batch_size : (k + 1) * self.batch_size]
        rows = rows if self.seed is None else np.sort(rows)
        place = rows + len(self.labels) * self._view(number_of_pass)
        arrays = tuple(np.asarray(array[place]) for array in self.inputs)
        if self.change:
            return self.change(arrays, self.labels[rows], rows, number_of_pass, k)
        return arrays if len(arrays) > 1 else arrays[0], self.labels[rows]


# -- what stops a training -----------------------------------------------------------------------------------------------


class DivergedError(UserError):
    """The loss is not finite: the learning rate is too high for this network."""

    def __init__(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
        super().__init__(f"training diverged in epoch {epoch}, step {step} ({shown}); lower train.learning_rate")


# -- optimizers ----------------------------------------------------------------------------------------------------------


class _Triangular(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Evenly up to a rate and evenly down to zero, over so many steps."""

    def __init__(self, rate: float, peak: float, steps: int) -> None:
        self.rate, self.peak, self.steps = rate, max(peak, 1.0), max(steps - peak, 1.0)

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        up, down = step / self.peak, 1 - (step - self.peak) / self.steps
        return self.rate * keras.ops.maximum(keras.ops.minimum(up, down), 0.0)

    def get_config(self) -> dict[str, float]:
        return {"rate": self.rate, "peak": self.peak, "steps": self.steps + self.peak}


class _CosineCycles(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Along a cosine from a rate to zero, in each of so many equal parts of the steps."""

    def __init__(self, rate: float, cycles: int, steps: int) -> None:
        self.rate, self.cycles, self.steps = rate, cycles, steps

    def __call__(self, step: Any) -> Any:
        # Whole numbers up to the division: a cycle begins at the step at which it should.
        cycle = keras.ops.cast(step, "float32") * self.cycles / self.steps
        return self.rate / 2 * (1 + keras.ops.cos(math.pi * (cycle - keras.ops.floor(cycle))))

    def get_config(self) -> dict[str, float]:
        return {"rate": self.rate, "cycles": self.cycles, "steps": self.steps}


def _schedule(schedule: Mapping[str, Any], rate: float, steps: int, warmup_steps: int) -> Any:
    schedules = keras.optimizers.schedules
    if schedule["name"] == "inverse_time":
        return schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=schedule["decay"])
    if schedule["name"] == "triangular":
        return _Triangular(rate, schedule["peak"] * steps, steps)
    if schedule["name"] == "cosine_cycles":
        return _CosineCycles(rate, schedule["cycles"], steps)
    if schedule["name"] == "cosine":
        start = {"warmup_target": rate, "warmup_steps": warmup_steps} if warmup_steps else {}
        return schedules.CosineDecay(0.0 if warmup_steps else rate, max(steps - warmup_steps, 1), **start)
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


def _averaging(network: Any) -> Any:
    """The optimizer that averages weights, if one does."""
    optimizer = getattr(network.optimizer, "inner_optimizer", network.optimizer)
    return optimizer if optimizer.use_ema else None


def _jit() -> str | bool:
    """Whether XLA compiles a training step: on TensorFlow's CPU it is slower, and elsewhere Keras knows best."""
    on_cpu = all("cpu" in device for device in device_names())
    return False if keras.backend.backend() == "tensorflow" and on_cpu else "auto"


def compile_network(
    network: Any,
    steps: int,
    *,
    optimizer: Mapping[str, Any],
    learning_rate: float,
    schedule: Mapping[str, Any],
    warmup_steps: int = 0,
    factors: Mapping[str, float] | None = None,
    accumulate: int = 1,
    ema: float | None = None,
    soft_labels: bool = False,
    jit: bool | None = None,
    steps_per_execution: int = 1,
) -> None:
    """Give ``network``, which returns logits, its loss, its metric and its optimizer for ``steps`` steps in all.

    ``optimizer`` is its Keras name under ``name`` and its options. So is ``schedule``: ``constant``; ``cosine``
    (Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts), after ``warmup_steps`` in which the rate grows
    evenly from zero (Goyal et al., arXiv 1706.02677, section 2.2); ``triangular``, evenly up over the share ``peak`` of all
    steps and down to zero (Smith and Topin, arXiv 1708.07120, section 3, the 1cycle policy without its last part);
    ``cosine_cycles``, the cosine once more in each of ``cycles`` (Huang et al., arXiv 1704.00109, equation 2); or
    ``inverse_time``, where the rate of step t is ``learning_rate / (1 + decay * t)``, as the ``decay`` of Keras' optimizers
    before 2.11 had it. ``factors`` multiply the rate by the name of the layer. Gradients of ``accumulate`` steps make one
    update. ``ema`` is the momentum of the moving average of weights that is validated and kept (Polyak and Juditsky, SIAM
    J. Control and Optimization 30, 1992). With ``soft_labels``, labels are probabilities (n, classes).
    """
    updates = max(steps // accumulate, 1)
    classes = {name.lower(): value for name, value in vars(keras.optimizers).items()}
    options = {key: value for key, value in optimizer.items() if key != "name"}
    options |= {"gradient_accumulation_steps": accumulate} if accumulate > 1 else {}
    options |= {"use_ema": True, "ema_momentum": ema} if ema is not None else {}

    def make(factor: float) -> Any:
        rate = _schedule(schedule, factor * learning_rate, updates, warmup_steps // accumulate)
        return classes[optimizer["name"]](learning_rate=rate, **options)

    losses = keras.losses
    network.compile(
        optimizer=_by_layer(make, factors) if factors else make(1.0),
        loss=(losses.CategoricalCrossentropy if soft_labels else losses.SparseCategoricalCrossentropy)(
            from_logits=True
        ),
        metrics=["accuracy"],
        jit_compile=_jit() if jit is None else jit,
        steps_per_execution=steps_per_execution,
    )


# -- training ------------------------------------------------------------------------------------------------------------


class Phase(NamedTuple):
    """Epochs that are trained alike: how many, what compiles the network for them, and when they end early.

    ``early_stopping`` (``metric``, ``patience``) watches the validation split and restores the best epoch's weights.
    """

    epochs: int
    start: Callable[[], None]
    early_stopping: Mapping[str, Any] | None = None


@dataclass
class Snapshots:
    """What a network predicts on the way: an array each time, saved and restored with the training.

    ``after`` are the epochs, counted from 1, after which ``predict`` is called; ``made`` is what it said.
    """

    after: Collection[int]
    predict: Callable[[], np.ndarray]
    made: list[np.ndarray] = field(default_factory=list)


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Looks at each step of an epoch: is the loss a number, is it time to save, was the process asked to end?"""

    def __init__(self, loop: "_Loop") -> None:
        super().__init__()
        self.loop = loop

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.loop.restore_metrics()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self.loop.after_step(batch, {name: float(value) for name, value in (logs or {}).items()})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if averaging := _averaging(self.loop.network):
            averaging.use_ema = False  # or `fit` would put the average in place of the weights, and train on from it

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.loop.stop_if_asked()

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.loop.after_validation({f"val_{name}": float(value) for name, value in (logs or {}).items()})


class _Loop:
    """One training, epoch by epoch: all that it has to remember is saved and restored here."""

    def __init__(
        self,
        network: Any,
        train: Batches,
        validation: Batches,
        total: int,
        on_epoch: OnEpoch | None,
        checkpoints: Checkpoints | None,
        request: Request,
        snapshots: Snapshots,
    ) -> None:
        self.network, self.train, self.validation, self.total = network, train, validation, total
        self.on_epoch, self.checkpoints, self.request = on_epoch, checkpoints, request
        self.snapshots = snapshots
        self.history: list[dict[str, float]] = []
        self.number = self.step = self.first_step = self.waited = 0
        self.logs: dict[str, float] = {}
        self.best: float | None = None
        self.best_weights: list[np.ndarray] = []
        self.stopped = False
        self.early_stopping: Mapping[str, Any] | None = None
        self._metrics: list[np.ndarray] = []
        self._line = time.monotonic()

    # what is saved

    def _variables(self) -> list[Any]:
        return [*self.network.variables, *self.network.optimizer.variables]

    def save(self) -> None:
        if self.checkpoints is None:
            return
        if hasattr(self.network, "jax_state_sync"):
            self.network.jax_state_sync()  # JAX keeps the state of an epoch that runs outside of the variables
        groups = {"state": self._variables(), "metric": self.network.metrics_variables, "best": self.best_weights}
        groups["snapshot"] = self.snapshots.made
        arrays = {
            f"{name}{k}": np.asarray(keras.ops.convert_to_numpy(value))
            for name, values in groups.items()
            for k, value in enumerate(values)
        }
        names = ("number", "step", "history", "logs", "best", "waited", "stopped")
        self.checkpoints.save({name: getattr(self, name) for name in names}, arrays)

    def restore(self, state: State) -> None:
        self.network.test_on_batch(*self.validation[0])  # makes the variables of metrics
        self.network.optimizer.build(self.network.trainable_variables)
        for name, value in state.place.items():
            setattr(self, name, value)

        def saved(group: str) -> list[np.ndarray]:
            return [state.arrays[f"{group}{k}"] for k in range(sum(name.startswith(group) for name in state.arrays))]

        for variable, value in zip(self._variables(), saved("state"), strict=True):
            variable.assign(value)
        self.best_weights = saved("best")
        self.snapshots.made[:] = saved("snapshot")
        self._metrics = saved("metric") if 0 < self.step < self.train.steps else []
        log.info("going on from epoch %d, step %d", len(self.history) + 1, self.step)
        if self.on_epoch:  # whoever listens may have died before it heard of the last
            for epoch, row in enumerate(self.history, 1):
                self.on_epoch(epoch, {name: row[name] for name in row if name not in ("epoch", "learning_rate")})

    def restore_metrics(self) -> None:
        for variable, value in zip(self.network.metrics_variables, self._metrics, strict=False):
            variable.assign(value)
        self._metrics = []

    # what happens on the way

    def stop_if_asked(self) -> None:
        if self.request.name:
            self.save()
            raise StoppedError(self.request.name, f"epoch {len(self.history) + 1}, step {self.step}")

    def after_step(self, batch: int, logs: Mapping[str, float]) -> None:
        self.step = self.first_step + batch + 1
        if not all(math.isfinite(value) for value in logs.values()):
            raise DivergedError(len(self.history) + 1, self.step, logs)
        if self.step == self.train.steps:
            self.logs = dict(logs)
        if time.monotonic() - self._line > SECONDS_BETWEEN_LINES:
            self._say(f"step {self.step}/{self.train.steps}", logs)
        self.stop_if_asked()
        if self.checkpoints and self.checkpoints.due():
            self.save()

    def after_validation(self, logs: Mapping[str, float]) -> None:
        if not self.early_stopping:
            return
        value = logs[self.early_stopping["metric"]]
        smaller = self.early_stopping["metric"] in SMALLER_IS_BETTER
        if self.best is None or (value < self.best if smaller else value > self.best):
            self.best, self.waited, self.best_weights = value, 0, self.network.get_weights()
        else:
            self.waited += 1
        self.stopped = self.waited >= self.early_stopping["patience"]

    def _say(self, place: str, values: Mapping[str, float]) -> None:
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        log.info("epoch %d/%d  %s", len(self.history) + 1, self.total, "  ".join(filter(None, [place, shown])))
        self._line = time.monotonic()

    def _epoch(self) -> None:
        watch, epoch, averaging = _Watch(self), len(self.history), _averaging(self.network)
        swap = [keras.callbacks.SwapEMAWeights()] if averaging else []
        if self.step < self.train.steps:
            self.train.start(epoch, self.step)
            self.first_step = self.step
            # Keras would shuffle the batches besides, from a global generator that no resumed run could restore.
            fitted = self.network.fit(self.train, callbacks=[watch], shuffle=False, verbose=0)
            if averaging:
                averaging.use_ema = True
            self.logs = {name: float(values[-1]) for name, values in fitted.history.items()}
        result = self.network.evaluate(self.validation, callbacks=[watch, *swap], verbose=0, return_dict=True)
        values = self.logs | {f"val_{name}": float(value) for name, value in result.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise DivergedError(epoch + 1, self.step, values)
        self._say("", values)
        self.history.append({"epoch": epoch + 1, **values, "learning_rate": _rate(self.network.optimizer)})
        self.step = 0
        if len(self.history) in self.snapshots.after:
            self.snapshots.made.append(self.snapshots.predict())
        last = self.stopped or len(self.history) == self.total
        if self.checkpoints and (last or self.checkpoints.cheap()):
            self.save()
        if self.on_epoch:
            self.on_epoch(epoch + 1, values)

    def run(self, number: int, before: int, phase: Phase) -> None:
        """Train a phase that has ``before`` epochs before it, or what is left of it."""
        self.number, self.early_stopping = number, phase.early_stopping
        while len(self.history) < before + phase.epochs and not self.stopped:
            self._epoch()
        if _averaging(self.network):
            self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        if phase.early_stopping:
            self.network.set_weights(self.best_weights)


def train_network(
    network: Any,
    phases: Sequence[Phase],
    train: Batches,
    validation: Batches,
    *,
    on_epoch: OnEpoch | None = None,
    checkpoints: Checkpoints | None = None,
    snapshots: Snapshots | None = None,
) -> list[dict[str, float]]:
    """Train a network; returns one row per epoch: loss, accuracy, val_loss, val_accuracy, learning rate.

    ``snapshots`` are made on the way.

    With ``checkpoints`` a training that was killed goes on where it was last saved (after every epoch, if that takes little
    of its time, and every so many minutes), and ends with the bits of one that was not. SIGTERM saves first.

    Raises:
        DivergedError: the loss is not finite.
        StoppedError: the process was asked to end.
    """
    with until_asked_to_end() as request:
        total = sum(phase.epochs for phase in phases)
        snapshots = snapshots or Snapshots((), lambda: np.empty(0))
        loop = _Loop(network, train, validation, total, on_epoch, checkpoints, request, snapshots)
        state = checkpoints.load() if checkpoints else None
        if state is not None and len(state.place["history"]) > total:
            state = None  # it has trained for longer than is wanted now
        before = 0
        for number, phase in enumerate(phases):
            if state is None or state.place["number"] <= number:
                phase.start()
                if state is not None and state.place["number"] == number:
                    loop.restore(state)
                loop.run(number, before, phase)
            before += phase.epochs
        return loop.history


def predict_log_prob(network: Any, batches: Batches, shown: Callable[[Any], Iterable[Any]] | None = None) -> np.ndarray:
    """Log probabilities (n, classes) float32, in the order of the rows of ``batches``, which must have no seed.

    ``shown`` makes of a batch the views of it whose probabilities are averaged.
    """

    def predict(inputs: Any) -> np.ndarray:
        return log_softmax(keras.ops.convert_to_numpy(network.predict_on_batch(inputs)))

    rows = []
    for k in range(len(batches)):
        inputs, labels, *_ = batches[k]
        # TensorFlow on several GPUs says all of it once for each.
        each = [predict(view)[: len(labels)] for view in (shown(inputs) if shown else [inputs])]
        rows.append(each[0] if len(each) == 1 else (logsumexp(each, axis=0) - np.log(len(each))).astype(np.float32))
    return np.concatenate(rows)
