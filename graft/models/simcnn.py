"""SimCNN, the small CNN that "Transfer Learning Based on ResNet50" compares ResNet50 with."""

from typing import Any

from graft.registry import part


@part("simcnn", smallest=18)
def simcnn(inputs: Any, classes: int) -> Any:
    """Three 3x3 convolutions with batch normalisation, then a dense layer of 64.

    123,210 parameters, of which 122,890 trainable, for 32x32x3 and 10 classes (the summary printed by a report on
    CIFAR-10 that reimplements the paper). ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dense(classes, name="logits")(x)
