"""The batch-normalised CNN for 15 classes of scenes that a published report calls its best of an earlier assignment."""

from typing import Annotated, Any

from annotated_types import Ge, Lt

from graft.registry import part


@part("dcnn_glorot", smallest=8)
def dcnn_glorot(inputs: Any, classes: int, *, dropout: Annotated[float, Ge(0), Lt(1)] = 0.25) -> Any:
    """Three stages of two 3x3 convolutions with ELU, then dense layers of 1024 and 512; all Glorot-uniform.

    The report (Kebede, "Transfer Learning", University of Memphis, 2021, figure 4 and table 2) names the initialisation,
    Adam and 15 classes, but no layers. These are the layers of its author's public code for that assignment
    (github.com/bereketeshete/Image-Classifier, "Assignment 2.2 better.py"), which sets He-uniform at that place and
    reads the 15-Scene images as 224x224 grey values from 0 to 255. Hence colours are averaged and not rescaled here.
    69,764,559 parameters for 224x224 and 15 classes.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers, ops

    x = layers.Rescaling(1.0)(inputs)
    x = ops.mean(x, axis=-1, keepdims=True)
    for filters in (32, 64, 86):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", activation="elu", kernel_initializer="glorot_uniform")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    for units in (1024, 512):
        x = layers.Dense(units, activation="elu", kernel_initializer="glorot_uniform")(x)
        x = layers.BatchNormalization()(x)
    return layers.Dense(classes, kernel_initializer="glorot_uniform", name="logits")(x)
