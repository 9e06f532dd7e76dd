"""The toy ResNet of the Keras guide to the functional API, and what a published report makes of it for CIFAR-100."""

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


@part("toy_resnet_100", smallest=13)
def toy_resnet_100(
    inputs: Any,
    classes: int,
    *,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    activity_penalty: Annotated[float, Ge(0)] = 1e-4,
) -> Any:
    """The toy ResNet with a third pair of convolutions and a second dense layer, of 128.

    340,324 parameters for 32x32x3 and 100 classes: ``model2`` in section 6 of a report on CIFAR-10 and CIFAR-100
    (Teplitskiy, "Deep Learning Assignment 4", 2020). As listed, the third pair reads what the second one reads, and its
    result is added to that of the second; each pair ends with an L2 penalty of ``activity_penalty`` on its activations.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    import keras
    from keras import layers

    def convolution(x: Any, filters: int = 64, padding: str = "same", penalty: float = 0.0) -> Any:
        regularizer = keras.regularizers.L2(penalty) if penalty else None
        return layers.Conv2D(filters, 3, activation="relu", padding=padding, activity_regularizer=regularizer)(x)

    def pair(x: Any) -> Any:
        return convolution(convolution(x), penalty=activity_penalty)

    x = layers.Rescaling(1 / 255)(inputs)
    x = convolution(x, 32, "valid")
    x = convolution(x, 64, "valid")
    first = layers.MaxPooling2D(3)(x)
    second = layers.Add()([pair(first), first])
    third = layers.Add()([pair(second), second])
    fourth = layers.Add()([pair(second), third])
    x = convolution(fourth, 64, "valid")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(classes, name="logits")(x)
