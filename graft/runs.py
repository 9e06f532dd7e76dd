"""One run: a model as a study describes it, trained on prepared arrays from one seed."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from graft.arrays import Data
from graft.features import split_network
from graft.finetune import build_network, is_new, rate_factors
from graft.predictions import Predictions, SplitPredictions
from graft.training import Batches, compile_network, predict_log_prob, train_network

PREDICT_BATCH = 256


def _batches(data: Data, split: str, batch_size: int = PREDICT_BATCH, *order: int | None) -> Batches:
    return Batches(data.inputs, data.label, data.rows[split], batch_size, *order)


class Trained(NamedTuple):
    """A trained model, whole and as the part that ``Data.inputs`` enter, its history a row an epoch,
    how many images it saw, counted as often as it saw them, and its time."""

    model: Any
    network: Any
    history: list[dict[str, float]]
    images: int
    seconds: float


def _frozen_but_for_the_head(model: Any) -> Any:
    """Freeze all but the layers behind the backbone; returns what undoes it."""
    trained = [layer for layer in model.layers if layer.trainable and not is_new(layer)]
    for layer in trained:
        layer.trainable = False

    def undo() -> None:
        for layer in trained:
            layer.trainable = True

    return undo


def train_run(
    spec: Mapping[str, Any],
    data: Data,
    seed: int,
    *,
    epochs: int | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], None] | None = None,
) -> Trained:
    """Build and train the model that ``spec`` describes, plain values as a study's model dumps them.

    If a part of it is frozen, ``data.inputs`` are that part's activations, and only the rest is trained; the returned
    model is whole, and was never compiled, so that what is saved of it is the network alone. ``epochs`` overrides the
    number in ``spec``; those of ``head_first`` come before.

    Raises:
        UserError: the network cannot be built, or training diverged.
    """
    train = spec["train"]
    keras.utils.clear_session()  # layers are named anew, so equal runs save equal names
    keras.utils.set_random_seed(seed)
    described = {key: value for key, value in spec.items() if key not in ("train", "architecture", "image_size")}
    model = build_network(spec["architecture"], spec["image_size"], len(data.classes), **described)
    images = data.inputs[0].dtype == model.input.dtype  # else activations
    network = keras.Model(model.input, model.output) if images else split_network(model)[1]
    batches = _batches(data, "train", train["batch_size"], seed, train.get("steps_per_epoch"))
    validation = _batches(data, "validation")
    epochs, head_first = epochs or train["epochs"], train.get("head_first", {"epochs": 0})
    start = time.monotonic()
    history: list[dict[str, float]] = []
    if head_first["epochs"]:
        undo = _frozen_but_for_the_head(model)
        rate = {"learning_rate": head_first["learning_rate"], "schedule": {"name": "constant"}}
        compile_network(network, head_first["epochs"] * len(batches), optimizer=train["optimizer"], **rate)
        history = train_network(network, batches, validation, epochs=head_first["epochs"], on_epoch=on_epoch)
        undo()
    compile_network(
        network,
        epochs * len(batches),
        warmup_steps=min(train.get("warmup_epochs", 0), epochs - 1) * len(batches),
        factors=rate_factors(model, train["layer_decay"]) if "layer_decay" in train else None,
        **{key: train[key] for key in ("optimizer", "learning_rate", "schedule")},
    )
    history += train_network(
        network,
        batches,
        validation,
        epochs=epochs,
        first=len(history),
        early_stopping=train.get("early_stopping"),
        on_epoch=on_epoch,
    )
    return Trained(model, network, history, batches.images * len(history), time.monotonic() - start)


def predict_run(network: Any, data: Data) -> Predictions:
    """What a trained network says of the validation and the test split."""
    splits = {
        split: SplitPredictions(
            data.sample_id[data.rows[split]],
            data.label[data.rows[split]],
            predict_log_prob(network, _batches(data, split)),
        )
        for split in ("validation", "test")
    }
    return Predictions(data.classes, splits)


def run_facts(trained: Trained) -> dict[str, Any]:
    """What a run did, for its ``runtime.json``: epochs, time and speed of training, parameters, backend and devices."""
    trainable = sum(int(weight.size) for weight in map(keras.ops.convert_to_numpy, trained.model.trainable_weights))
    return {
        "epochs": len(trained.history),
        "train_seconds": round(trained.seconds, 3),
        "images_per_second": round(trained.images / trained.seconds, 1),
        "parameters": {"total": trained.model.count_params(), "trainable": trainable},
        "backend": keras.backend.backend(),
        "device": ", ".join(keras.distribution.list_devices()),
    }
