"""The batch-normalised CNN whose weight decay and optimizer a published report tunes with Optuna on CIFAR-100."""

from typing import Annotated, Any

from annotated_types import Ge

from graft.registry import part


@part("dcnn", smallest=16)
def dcnn(inputs: Any, classes: int, *, weight_decay: Annotated[float, Ge(0)] = 1e-6) -> Any:
    """Four stages of 3x3 convolutions with dropout of 0.2, 0.3, 0.4 and 0.6; the last has neither pair nor batch norm.

    He-uniform initialisation and an L2 penalty of ``weight_decay`` on every convolution, as in the report's listing.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    import keras
    from keras import layers

    def convolution(x: Any, filters: int) -> Any:
        return layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_uniform",
            kernel_regularizer=keras.regularizers.L2(weight_decay),
        )(x)

    x = layers.Rescaling(1 / 255)(inputs)
    for filters, dropout in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for _ in range(2):
            x = layers.BatchNormalization()(convolution(x, filters))
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    x = layers.MaxPooling2D()(convolution(x, 256))
    x = layers.Dropout(0.6)(x)
    x = layers.Flatten()(x)
    return layers.Dense(classes, name="logits")(x)
