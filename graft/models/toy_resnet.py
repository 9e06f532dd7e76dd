"""The toy ResNet of the Keras guide to the functional API."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt

from graft.registry import part


@part("toy_resnet", smallest=13)
def toy_resnet(
    inputs: Any,
    classes: int,
    *,
    activation: Literal["relu", "elu"] = "relu",
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
) -> Any:
    """Seven 3x3 convolutions, two of them pairs inside a residual connection, then a dense layer of 256.

    223,242 parameters for 32x32x3 and 10 classes (keras.io/guides/functional_api, "A toy ResNet model").
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    def convolution(x: Any, filters: int = 64, padding: str = "same") -> Any:
        return layers.Conv2D(filters, 3, activation=activation, padding=padding)(x)

    x = layers.Rescaling(1 / 255)(inputs)
    x = convolution(x, 32, "valid")
    x = convolution(x, 64, "valid")
    x = layers.MaxPooling2D(3)(x)
    for _ in range(2):
        x = layers.Add()([convolution(convolution(x)), x])
    x = convolution(x, 64, "valid")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(classes, name="logits")(x)
