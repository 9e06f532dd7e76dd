"""The tutorial CNN that a published report uses as its third model on CIFAR-100."""

from typing import Annotated, Any

from annotated_types import Ge, Lt

from graft.registry import part


@part("machinecurve_cnn", smallest=22)
def machinecurve_cnn(inputs: Any, classes: int, *, dropout: Annotated[float, Ge(0), Lt(1)] = 0.5) -> Any:
    """Three 3x3 convolutions of 32, 64 and 128, each followed by pooling, then dense layers of 256 and 128.

    270,372 parameters for 32x32x3 and 100 classes: ``model3`` in section 6 of a report on CIFAR-10 and CIFAR-100
    (Teplitskiy, "Deep Learning Assignment 4", 2020). It takes the layers from "How to build a ConvNet for CIFAR-10 and
    CIFAR-100 classification with Keras?" (machinecurve.com, 9 February 2020) and adds the dropout.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(classes, name="logits")(x)
