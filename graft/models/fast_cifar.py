"""A small network that learns images of 32 pixels fast."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le
from numpy.lib.stride_tricks import sliding_window_view

from graft.registry import part

PATCH, FILTERS, IMAGES = 2, 24, 5000


def whitening_kernel(images: np.ndarray, floor: float = 5e-4) -> np.ndarray:
    """Filters (2, 2, 3, 24) whose first twelve outputs on ``images``, float (n, h, w, 3), are uncorrelated and of variance
    one; the others are their opposites.

    The eigenvectors of the covariance of all patches, each over the root of its eigenvalue and ``floor``, which keeps
    directions that hardly vary from being blown up.
    """
    patches = (
        sliding_window_view(images, (PATCH, PATCH), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3).reshape(-1, FILTERS // 2)
    )
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    filters = vectors / np.sqrt(values + floor)
    return np.concatenate([filters, -filters], axis=1).reshape(PATCH, PATCH, 3, FILTERS).astype(np.float32)


def whiten(model: Any, images: np.ndarray, rows: np.ndarray) -> None:
    """Set the first layer by the first 5,000 of the rows of images, uint8 (n, h, w, 3), that are trained on."""
    seen = images[rows[:IMAGES]].astype(np.float32) / 127.5 - 1
    model.get_layer("whitening").set_weights([whitening_kernel(seen)])


@part("fast_cifar", smallest=26, start=whiten)
def fast_cifar(inputs: Any, classes: int, *, width: Annotated[float, Gt(0), Le(4)] = 1.0) -> Any:
    """A convolution that whitens patches, three stages of two convolutions, and a linear layer (Jordan, arXiv 2404.00498,
    section 3 and appendix A, airbench94), ``width`` times as wide.

    The first layer is set by the training images and stays; each later convolution starts as the identity as far as it has
    inputs to pass on. 1,971,616 parameters for 32x32x3 and 10 classes: the paper's 1.97 million, without the bias of the
    whitening layer. ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    def convolution(x: Any, filters: int) -> Any:
        layer = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_uniform")
        x, channels = layer(x), x.shape[-1]
        kernel = np.array(layer.get_weights()[0])
        passed = np.arange(min(channels, filters))
        kernel[:, :, :, passed] = 0
        kernel[1, 1, passed, passed] = 1
        layer.set_weights([kernel])
        return x

    def normalised(x: Any) -> Any:
        return layers.Activation("gelu")(layers.BatchNormalization(momentum=0.6, epsilon=1e-5, scale=False)(x))

    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Conv2D(FILTERS, PATCH, use_bias=False, trainable=False, name="whitening")(x)
    x = layers.Activation("gelu")(x)
    for filters in (64, 256, 256):
        filters = max(round(filters * width), 1)
        x = normalised(layers.MaxPooling2D()(convolution(x, filters)))
        x = normalised(convolution(x, filters))
    x = layers.Flatten()(layers.MaxPooling2D(3)(x))
    x = layers.Dense(classes, use_bias=False, name="logits")(x)
    return layers.Rescaling(1 / 9)(x)
