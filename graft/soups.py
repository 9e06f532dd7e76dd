"""Networks of one architecture become one by the mean of their weights."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from graft.arrays import Data
from graft.ensembles import Combined
from graft.ensembles.temperature import best_temperature, scaled
from graft.ensembles.weight_average import weight_average
from graft.errors import UserError
from graft.predictions import Predictions, align
from graft.runs import PREDICT_BATCH, predict_run, predict_split

log = logging.getLogger(__name__)

STATISTICS_IMAGES = 10_000
"""Training images that statistics are estimated from, at most: a channel has a value at each place of each of them."""

Moments = list[tuple[np.ndarray, np.ndarray]]
"""Mean and variance (channels,) of what enters each batch normalisation."""


def load_network(path: Path) -> Any:
    """The network in a ``.keras`` file."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)  # nothing in the file runs


def mean_weights(members: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """The mean of each array over members; where all are equal, as those of frozen layers are, that array to the bit."""
    return [np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype) for arrays in zip(*members, strict=True)]


def _normalisations(network: Any) -> list[Any]:
    """Every BatchNormalization whose statistics follow the training: a frozen one keeps its own."""
    kind = keras.layers.BatchNormalization
    return [layer for layer in network._flatten_layers() if isinstance(layer, kind) and layer.trainable]


def _batch_moments(network: Any, layers: Sequence[Any], images: np.ndarray, rows: np.ndarray) -> Iterator[Moments]:
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0  # so that its moving statistics are those of the batch
        for start in range(0, len(rows), PREDICT_BATCH):
            network(np.asarray(images[rows[start : start + PREDICT_BATCH]]), training=True)
            yield [
                tuple(keras.ops.convert_to_numpy(value) for value in (layer.moving_mean, layer.moving_variance))
                for layer in layers
            ]
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def set_statistics(network: Any, statistics: Moments) -> None:
    """Give each BatchNormalization that is trained the mean and variance that :func:`estimate_statistics` found for it."""
    for layer, (mean, variance) in zip(_normalisations(network), statistics, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def estimate_statistics(network: Any, images: np.ndarray, rows: np.ndarray) -> Moments:
    """Set the statistics of each BatchNormalization that is trained to those of ``rows`` of uint8 images (n, h, w, 3).

    Those of averaged weights are not the average of statistics, so one more pass over training images is made, in training
    mode (Izmailov et al., arXiv 1803.05407, section 3.2). Mean and variance are of the activations of all rows together.
    """
    layers = _normalisations(network)
    if not layers:
        return []
    sizes = np.array([len(rows[start : start + PREDICT_BATCH]) for start in range(0, len(rows), PREDICT_BATCH)])
    share = (sizes / sizes.sum())[:, None]
    batches = list(_batch_moments(network, layers, images, rows))
    statistics = []
    for of_layer in zip(*batches, strict=True):
        means, variances = (np.stack(values).astype(np.float64) for values in zip(*of_layer, strict=True))
        mean = (share * means).sum(axis=0)
        variance = (share * (variances + (means - mean) ** 2)).sum(axis=0)
        statistics.append((mean.astype(np.float32), variance.astype(np.float32)))
    set_statistics(network, statistics)
    return statistics


def _weights(models: Mapping[str, Path]) -> tuple[Any, list[list[np.ndarray]]]:
    """The first network, and the weights of all of them.

    Raises:
        UserError: two networks differ in the shapes of their weights.
    """
    first, *_ = models
    network = load_network(models[first])
    ours = [(weight.path, tuple(weight.shape)) for weight in network.weights]
    every = [network.get_weights()]
    for name in [*models][1:]:
        other = load_network(models[name])
        theirs = [tuple(weight.shape) for weight in other.weights]
        wrong = f"{first} and {name} cannot be averaged, for their networks differ"
        if len(theirs) != len(ours):
            raise UserError(
                f"{wrong}: {len(ours)} and {len(theirs)} arrays of weights; name members of one architecture"
            )
        for (path, shape), other_shape in zip(ours, theirs, strict=True):
            if shape != other_shape:
                raise UserError(f"{wrong}: {path} is {shape} and {other_shape}; name members of one architecture")
        every.append(other.get_weights())
    return network, every


def _in_order_of(aligned: Predictions, data: Data) -> Data:
    """``data`` whose rows of the splits are in the order of these predictions."""
    places = {
        name: pd.Index(data.sample_id).get_indexer(split.sample_id).astype(np.int64)
        for name, split in aligned.splits.items()
    }
    if any((rows < 0).any() for rows in places.values()):
        raise UserError("the members predicted samples that the data set does not have; train them again")
    return data._replace(rows={**data.rows, **places})


def average_models(
    models: Mapping[str, Path],
    predictions: Mapping[str, Predictions],
    data: Data,
    method: Mapping[str, Any],
    *,
    temperature: bool = False,
    test_time: Sequence[str] = (),
) -> tuple[Any, Combined]:
    """The network that ``method`` (options of ``weight_average``) makes of saved ones, or the best one; and what it says.

    ``models`` are ``.keras`` files of networks from uint8 images, ``predictions`` what each of them said, both by the name
    of the member; ``data.inputs`` are images. Statistics of batch normalisation are those of the first 10,000 training
    images of a random order. With ``temperature``, what comes out is divided by the temperature of least validation log
    loss and normalised; the network is as it was. Memory holds the weights of all members.

    Raises:
        UserError: two networks differ in the shapes of their weights, or two members in classes, samples or labels.
    """
    aligned = align(predictions)
    data = _in_order_of(aligned, data)
    keras.utils.set_random_seed(0)  # dropout is on where statistics are estimated
    network, weights = _weights(models)
    rows = np.random.default_rng(0).permutation(data.rows["train"])[:STATISTICS_IMAGES]
    estimated: dict[tuple[int, ...], Moments] = {}

    def soup_of(chosen: Sequence[int]) -> np.ndarray:
        network.set_weights(mean_weights([weights[member] for member in chosen]))
        estimated[tuple(chosen)] = estimate_statistics(network, data.inputs[0], rows)
        log.info("weights of %d members averaged", len(chosen))
        return predict_split(network, data, "validation", test_time).log_prob

    options = {key: value for key, value in method.items() if key != "name"}
    _, label, log_prob = aligned.splits["validation"]
    choice = weight_average(log_prob, label, soup_of, **options)
    facts = choice.facts | ({"statistics_images": len(rows)} if any(estimated.values()) else {})
    chosen = [member for member, weight in enumerate(choice.weights) if weight]
    network.set_weights(mean_weights([weights[member] for member in chosen]))
    if choice.facts["applied"] == "weight_average":
        set_statistics(network, estimated[tuple(chosen)])
        found = predict_run(network, data, test_time)
    else:
        found = predictions[[*models][chosen[0]]]
    best = (
        best_temperature(found.splits["validation"].log_prob, found.splits["validation"].label) if temperature else None
    )
    if best is not None:
        splits = {name: split._replace(log_prob=scaled(split.log_prob, best)) for name, split in found.splits.items()}
        found = found._replace(splits=splits)
    return network, Combined(found, choice.weights, facts, best)
