"""How a network starts from its training images: the first convolution makes the pixels of a patch uncorrelated."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from graft.errors import UserError

IMAGES, PATCHES = 500, 200_000
FLOOR = 0.01


def whitening_filters(images: np.ndarray, side: int, count: int) -> np.ndarray:
    """Filters (side, side, channels, count or fewer) whose outputs on ``images``, float (n, h, w, channels), are
    uncorrelated and of variance one, and then their opposites.

    The eigenvectors of the covariance of patches, those of the largest eigenvalues first, each over the root of its
    eigenvalue and a hundredth of the mean eigenvalue, which keeps directions that hardly vary from being blown up.
    """
    channels = images.shape[-1]
    windows = sliding_window_view(images, (side, side), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    step = math.ceil(math.sqrt(math.prod(windows.shape[:3]) / PATCHES))
    windows = windows[:, ::step, ::step]  # as many as a covariance needs, in little memory
    values, vectors = np.linalg.eigh(np.cov(windows.reshape(-1, side * side * channels), rowvar=False))
    filters = (vectors / np.sqrt(values + FLOOR * values.mean()))[:, ::-1][:, : count // 2]
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(side, side, channels, -1).astype(np.float32)


def whiten(model: Any, images: np.ndarray, rows: np.ndarray) -> None:
    """Set the first convolution by training images: the first 500 ``rows`` of uint8 (n, h, w, 3).

    Filters beyond two for each element of a patch stay as they are; biases become zero (Jordan, arXiv 2404.00498, section
    3.1, who keeps the layer so; here it goes on learning, unless it is frozen).

    Raises:
        UserError: the network has no convolution with square filters.
    """
    import keras

    kinds = [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]
    if not kinds or len(set(kinds[0].kernel_size)) > 1 or kinds[0].groups > 1:
        raise UserError("train.whiten: the network does not begin with a convolution of square filters; leave it out")
    first = kinds[0]
    before = keras.Model(model.input, first.input)
    seen = np.concatenate(
        [np.asarray(before.predict_on_batch(images[some])) for some in np.array_split(rows[:IMAGES], 10)]
    )
    kernel, *biases = first.get_weights()
    filters = whitening_filters(seen.astype(np.float32), kernel.shape[0], kernel.shape[-1])
    kernel[..., : filters.shape[-1]] = filters
    first.set_weights([kernel, *map(np.zeros_like, biases)])
