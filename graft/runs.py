"""One run: a model as a study describes it, trained on prepared arrays from one seed."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from graft.arrays import Data
from graft.features import split_network
from graft.finetune import build_network
from graft.predictions import Predictions, SplitPredictions
from graft.training import Batches, compile_network, predict_log_prob, train_network

PREDICT_BATCH = 256


def _batches(data: Data, split: str, batch_size: int = PREDICT_BATCH, seed: int | None = None) -> Batches:
    return Batches(data.inputs, data.label, data.rows[split], batch_size, seed)


class Trained(NamedTuple):
    """A trained model, whole and as the part that ``Data.inputs`` enter, its history a row an epoch, and its time."""

    model: Any
    network: Any
    history: list[dict[str, float]]
    seconds: float


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
    model is whole. ``epochs`` overrides the number in ``spec``.

    Raises:
        UserError: the network cannot be built, or training diverged.
    """
    train = spec["train"]
    keras.utils.clear_session()  # layers are named anew, so equal runs save equal names
    keras.utils.set_random_seed(seed)
    described = {key: value for key, value in spec.items() if key not in ("train", "architecture", "image_size")}
    model = build_network(spec["architecture"], spec["image_size"], len(data.classes), **described)
    # As the study decides: of a list of frozen stages, activations are not stored.
    cached = spec.get("freeze", "none") != "none" and not isinstance(spec["freeze"], list)
    network = split_network(model)[1] if cached else model
    batches = _batches(data, "train", train["batch_size"], seed)
    epochs = epochs or train["epochs"]
    compile_network(
        network,
        epochs * len(batches),
        warmup_steps=min(train.get("warmup_epochs", 0), epochs - 1) * len(batches),
        **{key: train[key] for key in ("optimizer", "learning_rate", "schedule")},
    )
    start = time.monotonic()
    history = train_network(
        network,
        batches,
        _batches(data, "validation"),
        epochs=epochs,
        early_stopping=train.get("early_stopping"),
        on_epoch=on_epoch,
    )
    return Trained(model, network, history, time.monotonic() - start)


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


def run_facts(trained: Trained, data: Data) -> dict[str, Any]:
    """What a run did, for its ``runtime.json``: epochs, time and speed of training, parameters, backend and devices."""
    epochs = len(trained.history)
    trainable = sum(int(weight.size) for weight in map(keras.ops.convert_to_numpy, trained.model.trainable_weights))
    return {
        "epochs": epochs,
        "train_seconds": round(trained.seconds, 3),
        "images_per_second": round(epochs * len(data.rows["train"]) / trained.seconds, 1),
        "parameters": {"total": trained.model.count_params(), "trainable": trainable},
        "backend": keras.backend.backend(),
        "device": ", ".join(keras.distribution.list_devices()),
    }
