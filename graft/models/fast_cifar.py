"""A small network that learns images of 32 pixels fast."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le

from graft.registry import part


@part("fast_cifar", smallest=26)
def fast_cifar(inputs: Any, classes: int, *, width: Annotated[float, Gt(0), Le(4)] = 1.0) -> Any:
    """A convolution of 2x2, three stages of two convolutions, and a linear layer (Jordan, arXiv 2404.00498,
    section 3 and appendix A, airbench94), ``width`` times as wide.

    The first layer is the one that ``train.whiten`` sets by the training images; each later convolution starts as the
    identity as far as it has inputs to pass on. 1,971,640 parameters for 32x32x3 and 10 classes: the paper's 1.97 million.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
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
    x = layers.Conv2D(24, 2, name="first")(x)
    x = layers.Activation("gelu")(x)
    for filters in (64, 256, 256):
        filters = max(round(filters * width), 1)
        x = normalised(layers.MaxPooling2D()(convolution(x, filters)))
        x = normalised(convolution(x, filters))
    x = layers.Rescaling(1 / 9)(layers.Flatten()(layers.MaxPooling2D(3)(x)))
    return layers.Dense(classes, use_bias=False, name="logits")(x)
