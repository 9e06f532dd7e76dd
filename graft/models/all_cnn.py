"""All-CNN-C of "Striving for Simplicity", and what a published report makes of that paper."""

from typing import Annotated, Any

from annotated_types import Ge, Lt

from graft.registry import part

Dropout = Annotated[float, Ge(0), Lt(1)]


@part("all_cnn", smallest=27)
def all_cnn(inputs: Any, classes: int, *, input_dropout: Dropout = 0.0, dropout: Dropout = 0.5) -> Any:
    """Two 5x5 convolutions, each followed by pooling, then a 3x3 and two 1x1; a dense layer reads the averages.

    839,352 parameters for 32x32x3 and 10 classes: ``model3`` in section 5 of a report on CIFAR-10 and CIFAR-100
    (Teplitskiy, "Deep Learning Assignment 4", 2020). It is close to the paper's base model A, whose pooling All-CNN-C
    does without. ``dropout`` follows the pooling layers. ``model1`` in section 6, for CIFAR-100 (866,712 parameters),
    has ``input_dropout`` 0.2 and no other.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers

    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Dropout(input_dropout)(x)
    for filters in (96, 192):
        x = layers.Conv2D(filters, 5, activation="relu")(x)
        x = layers.MaxPooling2D(3, strides=2)(x)
        x = layers.Dropout(dropout)(x)
    for filters, kernel in ((192, 3), (192, 1), (classes, 1)):
        x = layers.Conv2D(filters, kernel, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dense(classes, name="logits")(x)


@part("all_cnn_c", smallest=9)
def all_cnn_c(
    inputs: Any,
    classes: int,
    *,
    input_dropout: Dropout = 0.2,
    dropout: Dropout = 0.5,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> Any:
    """Seven 3x3 and two 1x1 convolutions; two of stride 2 stand where others pool; the logits are averages.

    1,369,738 parameters for 32x32x3 and 10 classes (Springenberg et al., arXiv 1412.6806, tables 1 and 2; dropout in
    section 3.1). As in table 1 the last convolution has a ReLU too. The paper whitens its images by their data set; here
    they are scaled to -1 to 1. ``weight_decay`` acts on every kernel; the paper has 0.001.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    import keras
    from keras import layers

    # Keras' penalty has the gradient 2 * l2 * weight.
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

    def convolution(x: Any, filters: int, kernel: int = 3, stride: int = 1, padding: str = "same") -> Any:
        return layers.Conv2D(filters, kernel, stride, padding, activation="relu", kernel_regularizer=penalty)(x)

    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.Dropout(input_dropout)(x)
    for filters in (96, 192):
        x = convolution(convolution(x, filters), filters)
        x = convolution(x, filters, stride=2)
        x = layers.Dropout(dropout)(x)
    x = convolution(x, 192, padding="valid")
    x = convolution(convolution(x, 192, kernel=1), classes, kernel=1)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Activation("linear", name="logits")(x)
