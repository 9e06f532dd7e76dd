"""The small CNN for embedded systems of Calik and Demirci, as a published report lists it."""

from typing import Annotated, Any

from annotated_types import Ge

from graft.registry import part


@part("calik_demirci", smallest=24)
def calik_demirci(inputs: Any, classes: int, *, filters: Annotated[int, Ge(1)] = 3) -> Any:
    """A 9x9 and three 5x5 convolutions of ``filters`` each, halved four times, then dense layers of 384 and 128.

    53,522 parameters for 32x32x3, 10 classes and 3 filters: ``model2`` in section 5 of a report on CIFAR-10 and
    CIFAR-100 (Teplitskiy, "Deep Learning Assignment 4", 2020), which reads them out of "Cifar-10 Image Classification
    with Convolutional Neural Networks for Embedded Systems" (AICCSA 2018) and doubts that the results there are of so
    small a network. The listing does not flatten: at 32x32 one pixel is left, so flattening changes nothing.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    for kernel, padding in ((9, "valid"), (5, "same"), (5, "same"), (5, "same")):
        x = layers.Conv2D(filters, kernel, activation="relu", padding=padding)(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for units in (384, 128):
        x = layers.Dense(units, activation="relu")(x)
    return layers.Dense(classes, name="logits")(x)
