"""One run: a model as a study describes it, trained on prepared arrays from one seed."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from graft.arrays import Data
from graft.augmentation import augment, views
from graft.backends import device_facts, parallel
from graft.checkpoints import Checkpoints
from graft.errors import UserError
from graft.features import split_network
from graft.finetune import build_network, is_new, rate_factors
from graft.predictions import SPLITS, Predictions, SplitPredictions
from graft.soft_labels import targets
from graft.spec import can_be_extended
from graft.training import (
    Batches,
    DivergedError,
    OnEpoch,
    Phase,
    Snapshots,
    compile_network,
    predict_log_prob,
    train_network,
)
from graft.whitening import whiten
from graft.words import nearest

log = logging.getLogger(__name__)

PREDICT_BATCH = 256


class Trained(NamedTuple):
    """A trained model, whole and as the part that ``Data.inputs`` enter, its history a row an epoch,
    how many images it saw, counted as often as it saw them, its time, and what it said at the end of each cycle of its
    schedule but the last, if that was asked for."""

    model: Any
    network: Any
    history: list[dict[str, float]]
    images: int
    seconds: float
    snapshots: Sequence[Predictions] = ()


class OutOfMemoryError(UserError):
    """The batches are too large for the memory of the machine or its GPU."""

    def __init__(self, batch_size: int) -> None:
        remedy = "lower train.batch_size, or set train.retries, which halves it and accumulates gradients"
        super().__init__(f"out of memory with batch_size {batch_size}; {remedy}")


def _is_out_of_memory(error: BaseException) -> bool:
    names = {"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"}
    return type(error).__name__ in names or "RESOURCE_EXHAUSTED" in str(error)


# -- what a network sees -------------------------------------------------------------------------------------------------


def _class_weights(weights: str | Mapping[str, float], data: Data) -> np.ndarray:
    """A weight for each class: as given, or inverse to how often it occurs, with a mean of one over all images (King and
    Zeng, Political Analysis 9, 2001, as scikit-learn's ``class_weight="balanced"``)."""
    if not isinstance(weights, str):
        if unknown := [name for name in weights if name not in data.classes]:
            raise UserError(f"train.class_weights: {unknown[0]!r} is not a class{nearest(unknown[0], data.classes)}")
        return np.array([weights.get(name, 1.0) for name in data.classes], np.float32)
    counts = np.bincount(data.label[data.rows["train"]], minlength=len(data.classes))
    balanced: np.ndarray = counts.sum() / (len(counts) * np.maximum(counts, 1))
    return balanced.astype(np.float32)


def _one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return labels if labels.ndim == 2 else np.eye(classes, dtype=np.float32)[labels]


def _has_soft_labels(train: Mapping[str, Any]) -> bool:
    mixed = {"mixup", "cutmix"} & train.get("augment", {}).keys()
    return "label_smoothing" in train or "distill" in train or bool(mixed)


def _taught(train: Mapping[str, Any], data: Data) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What makes of labels (n,) and their rows what a training batch is to learn: the same, or an ensemble's soft labels."""
    if "distill" not in train:
        return lambda labels, rows: labels
    assert data.soft_labels is not None, "distill needs soft labels"
    log_prob, classes = data.soft_labels, len(data.classes)
    options = {key: value for key, value in train["distill"].items() if key != "ensemble"}
    return lambda labels, rows: targets(log_prob[rows], _one_hot(labels, classes), **options)


def _augmented(images: np.ndarray, labels: np.ndarray, classes: int, *rest: Any, **options: Any) -> tuple[Any, Any]:
    """As :func:`graft.augmentation.augment`, of labels that may be soft, too."""
    if labels.ndim == 1:
        return augment(images, labels, classes, *rest, **options)
    images, shares = augment(images, np.arange(len(labels)), len(labels), *rest, **options)
    return images, labels if shares.ndim == 1 else shares @ labels


def _training_change(train: Mapping[str, Any], data: Data, seed: int) -> Callable[..., tuple[Any, ...]] | None:
    """What is done to a training batch: soft labels, augmentation, smoothed labels (Szegedy et al., arXiv 1512.00567,
    section 7), weights of classes. All of it depends on seed, pass and batch alone."""
    images = data.inputs[0].dtype == np.uint8  # else activations, of images that were changed before
    options, smoothing = train.get("augment") if images else None, train.get("label_smoothing", 0.0)
    soft, classes = _has_soft_labels(train), len(data.classes)
    weights = _class_weights(train["class_weights"], data) if "class_weights" in train else None
    taught = _taught(train, data)
    if not (options or soft or weights is not None):
        return None

    def change(
        arrays: Sequence[np.ndarray], labels: np.ndarray, rows: np.ndarray, turn: int, k: int
    ) -> tuple[Any, ...]:
        inputs: Any = arrays if len(arrays) > 1 else arrays[0]
        labels = taught(labels, rows)
        if options:
            rng = np.random.default_rng([seed, turn, k + 1])  # 0 would be the generator that orders the pass
            which = {"rows": rows, "number_of_pass": turn, "seed": seed}
            inputs, labels = _augmented(inputs, labels, classes, rng, **which, **options)
        share = _one_hot(labels, classes) if soft or weights is not None else labels
        seen = ((1 - smoothing) * share + np.float32(smoothing / classes)).astype(np.float32) if soft else labels
        return (inputs, seen) if weights is None else (inputs, seen, share @ weights)

    return change


def _training(train: Mapping[str, Any], data: Data, seed: int, gpus: int) -> Batches:
    if len(data.rows["train"]) < gpus:
        raise UserError(f"gpu: {gpus} is more than the {len(data.rows['train'])} training images; lower it")
    change = _training_change(train, data, seed)
    steps = train.get("steps_per_epoch")
    return Batches(data.inputs, data.label, data.rows["train"], train["batch_size"], seed, steps, change, gpus)


def _validation(train: Mapping[str, Any], data: Data, gpus: int) -> Batches:
    """All validation images; where their number is no multiple of ``gpus``, each equally often, so that means are the
    same."""

    def one_hot(arrays: Sequence[np.ndarray], labels: np.ndarray, *_: Any) -> tuple[Any, ...]:
        return arrays if len(arrays) > 1 else arrays[0], _one_hot(labels, len(data.classes))

    rows = data.rows["validation"]
    rows = np.repeat(rows, math.lcm(len(rows), gpus) // len(rows))
    change = one_hot if _has_soft_labels(train) else None
    return Batches(data.inputs, data.label, rows, math.ceil(PREDICT_BATCH / gpus) * gpus, change=change)


# -- how a network is trained --------------------------------------------------------------------------------------------


def _penalise(network: Any, l2: float) -> None:
    """Add ``l2`` times the sum of squares of every kernel that is trained to the loss."""
    for variable in network.trainable_variables:
        if variable.name.endswith("kernel"):
            variable.regularizer = keras.regularizers.L2(l2)


def _phases(model: Any, network: Any, train: Mapping[str, Any], epochs: int, steps: int) -> list[Phase]:
    """The head first, if it is to be, and then all that is not frozen."""
    thawed = [layer for layer in model.layers if layer.trainable and not is_new(layer)]
    common = {
        "soft_labels": _has_soft_labels(train),
        **{key: train[key] for key in ("optimizer", "accumulate", "jit", "steps_per_execution") if key in train},
    }

    def head() -> None:
        for layer in thawed:
            layer.trainable = False
        rate = {"learning_rate": train["head_first"]["learning_rate"], "schedule": {"name": "constant"}}
        compile_network(network, train["head_first"]["epochs"] * steps, **rate, **common)

    def main() -> None:
        for layer in thawed:
            layer.trainable = True
        compile_network(
            network,
            epochs * steps,
            warmup_steps=min(train.get("warmup_epochs", 0), epochs - 1) * steps,
            factors=rate_factors(model, train["layer_decay"]) if "layer_decay" in train else None,
            ema=train.get("ema"),
            **{key: train[key] for key in ("learning_rate", "schedule")},
            **common,
        )

    first = [Phase(train["head_first"]["epochs"], head)] if "head_first" in train else []
    return [*first, Phase(epochs, main, train.get("early_stopping"))]


def _ends_of_cycles(train: Mapping[str, Any], epochs: int) -> list[int]:
    """The epochs, counted from 1 and with those of ``head_first``, at the end of each cycle of the schedule but the last."""
    cycles = train["schedule"].get("cycles", 1)
    before = train.get("head_first", {}).get("epochs", 0)
    return [before + k * epochs // cycles for k in range(1, cycles)]


def _steps_at_once(network: Any) -> int:
    """How many steps TensorFlow runs in one call, if the study does not say: many, of a few layers behind stored
    activations, whose steps take less time than their calls; other backends gain nothing."""
    return 32 if keras.backend.backend() == "tensorflow" and multiply_adds(network) < 10**6 else 1


def checkpoint_key(spec: Mapping[str, Any], *depends: Any) -> str:
    """What a checkpoint must agree in to be used: model and training, and all else that decides the bits of a run."""
    without = {"checkpoint_minutes", "retries", *(["epochs"] if can_be_extended(spec["train"]) else [])}
    train = {key: value for key, value in spec["train"].items() if key not in without}
    described = {key: value for key, value in spec.items() if key != "weights_file"} | {"train": train}
    return hashlib.sha256(json.dumps([described, *depends], sort_keys=True).encode()).hexdigest()


def _train_once(
    spec: Mapping[str, Any],
    data: Data,
    seed: int,
    epochs: int | None,
    on_epoch: OnEpoch | None,
    checkpoints: Checkpoints | None,
    snapshots: bool,
) -> Trained:
    train = {**spec["train"], **({"distill": spec["distill"]} if "distill" in spec else {})}
    keras.utils.clear_session()  # layers are named anew, so equal runs save equal names
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(train.get("precision", "float32"))
    other = ("train", "architecture", "image_size", "test_time", "gpu", "distill", "folds")
    described = {key: value for key, value in spec.items() if key not in other}
    gpus = spec.get("gpu", 1)
    batches, validation = _training(train, data, seed, gpus), _validation(train, data, gpus)
    with parallel(gpus) as synchronize:
        model = build_network(spec["architecture"], spec["image_size"], len(data.classes), **described)
        synchronize(model)
        if train.get("whiten"):
            whiten(model, data.inputs[0], data.rows["train"])
        images = data.inputs[0].dtype == model.input.dtype  # else activations
        network = keras.Model(model.input, model.output) if images else split_network(model)[1]
        if "l2" in train:
            _penalise(network, train["l2"])
        if not images and gpus == 1:
            train = {"steps_per_execution": _steps_at_once(network), **train}
        phases = _phases(model, network, train, epochs or train["epochs"], batches.steps)
        test_time = spec.get("test_time", ())
        after = _ends_of_cycles(train, epochs or train["epochs"]) if snapshots else []
        said = Snapshots(after, lambda: _stacked(predict_run(network, data, test_time, gpus)))
        start = time.monotonic()
        history = train_network(
            network, phases, batches, validation, on_epoch=on_epoch, checkpoints=checkpoints, snapshots=said
        )
        seconds = time.monotonic() - start
    if gpus > 1:
        network = keras.Model(network.input, network.output)  # which predicts on one
    made = [_predictions(data, log_prob) for log_prob in said.made]
    return Trained(model, network, history, batches.images * len(history), seconds, made)


def train_run(
    spec: Mapping[str, Any],
    data: Data,
    seed: int,
    *,
    epochs: int | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoints: Checkpoints | None = None,
    snapshots: bool = False,
) -> Trained:
    """Build and train the model that ``spec`` describes, plain values as a study's model dumps them.

    If a part of it is frozen, ``data.inputs`` are that part's activations, and only the rest is trained; the returned
    model is whole, and was never compiled, so that what is saved of it is the network alone. ``epochs`` overrides the
    number in ``spec``; those of ``head_first`` come before. With ``distill``, training images have the labels that
    :func:`graft.soft_labels.targets` makes of ``data.soft_labels``, and validation images their own. With ``snapshots``
    the network predicts the validation and the test split at the end of each cycle of its schedule but the last, at whose
    end it is the trained network (Huang et al., Snapshot Ensembles, arXiv 1704.00109).

    A loss that is not finite is tried again once at a tenth of the rate, if ``on_nan`` says so; batches that do not fit
    into memory are halved, and gradients of twice as many accumulated, up to ``retries`` times.

    Raises:
        UserError: the network cannot be built, training diverged, memory was too small, or the process was asked to end.
    """
    train, gpus = spec["train"], spec.get("gpu", 1)
    try:
        return _train_once(spec, data, seed, epochs, on_epoch, checkpoints, snapshots)
    except DivergedError as error:
        if train.get("on_nan") != "lower_lr":
            raise
        log.info("%s: once more, at a tenth of the rate", error)
        again = {"learning_rate": train["learning_rate"] / 10, "on_nan": "stop"}
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        half = train["batch_size"] // (2 * gpus) * gpus
        if not train.get("retries") or not half:
            raise OutOfMemoryError(train["batch_size"]) from error
        log.info("out of memory with batch_size %d: once more, with half of it", train["batch_size"])
        halved = {"batch_size": half, "accumulate": 2 * train.get("accumulate", 1)}
        halved |= {"steps_per_epoch": 2 * train["steps_per_epoch"]} if "steps_per_epoch" in train else {}
        again = halved | {"retries": train["retries"] - 1}
    changed = {**spec, "train": {**train, **again}}
    if checkpoints:
        checkpoints = Checkpoints(checkpoints.folder, f"{checkpoints.key} {json.dumps(again)}", checkpoints.minutes)
    return train_run(
        changed, data, seed, epochs=epochs, on_epoch=on_epoch, checkpoints=checkpoints, snapshots=snapshots
    )


def predict_split(
    network: Any, data: Data, split: str, test_time: Sequence[str] = (), gpus: int = 1
) -> SplitPredictions:
    """What a network says of one split, in the mean over views of ``test_time``.

    ``gpus`` is how many share out each batch, inside of :func:`graft.backends.parallel`.
    """

    def shown(images: Any) -> Any:
        return views(images, test_time) if test_time else [images]

    rows = data.rows[split]
    evenly = np.resize(rows, math.ceil(len(rows) / gpus) * gpus)  # the first ones once more
    batches = Batches(data.inputs, data.label, evenly, math.ceil(PREDICT_BATCH / gpus) * gpus)
    log_prob = predict_log_prob(network, batches, shown)[: len(rows)]
    return SplitPredictions(data.sample_id[rows], data.label[rows], log_prob)


def predict_run(network: Any, data: Data, test_time: Sequence[str] = (), gpus: int = 1) -> Predictions:
    """What a network says of the validation and the test split, each as :func:`predict_split` has it."""
    splits = {split: predict_split(network, data, split, test_time, gpus) for split in SPLITS}
    return Predictions(data.classes, splits)


def _stacked(predictions: Predictions) -> np.ndarray:
    """The log probabilities of both splits as one array, to be kept in a checkpoint."""
    return np.concatenate([predictions.splits[split].log_prob for split in SPLITS])


def _predictions(data: Data, log_prob: np.ndarray) -> Predictions:
    """The inverse of :func:`_stacked`."""
    parts = np.split(log_prob, [len(data.rows[SPLITS[0]])])
    splits = {
        split: SplitPredictions(data.sample_id[data.rows[split]], data.label[data.rows[split]], part)
        for split, part in zip(SPLITS, parts, strict=True)
    }
    return Predictions(data.classes, splits)


def multiply_adds(model: Any) -> int:
    """Multiplications with additions of one image in the layers that have a kernel; FLOPs are twice as many.

    Each element of a kernel is used once at every place of the output (for dense layers: of all axes but the last).
    """
    total = 0
    for layer in model._flatten_layers(include_self=False, recursive=True):
        kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")] if not layer._layers else []
        shape = getattr(getattr(layer, "output", None), "shape", ())
        total += math.prod(shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


def run_facts(trained: Trained) -> dict[str, Any]:
    """What a run did, for its ``runtime.json``: epochs, time and speed of training, parameters, multiply-adds of an image
    in the whole network, backend, devices and their memory."""
    trainable = sum(int(weight.size) for weight in map(keras.ops.convert_to_numpy, trained.model.trainable_weights))
    return {
        "epochs": len(trained.history),
        "train_seconds": round(trained.seconds, 3),
        "images_per_second": round(trained.images / trained.seconds, 1),
        "parameters": {"total": trained.model.count_params(), "trainable": trainable},
        "multiply_adds": multiply_adds(trained.model),
        **device_facts(),
    }
