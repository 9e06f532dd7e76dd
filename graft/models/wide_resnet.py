"""Wide residual networks."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt

from graft.registry import part


@part("wide_resnet")
def wide_resnet(
    inputs: Any,
    classes: int,
    *,
    depth: Literal[16, 22, 28, 40] = 16,
    width: Annotated[int, Ge(1)] = 4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    weight_decay: Annotated[float, Ge(0)] = 0.0,
) -> Any:
    """WRN-``depth``-``width``: three groups of pre-activated pairs of 3x3 convolutions of 16, 32 and 64 times ``width``.

    WRN-28-10 has 36,479,194 trainable parameters for 32x32x3 and 10 classes (Zagoruyko and Komodakis, arXiv 1605.07146,
    tables 1 and 4). Where the number of filters changes, the shortcut is a 1x1 convolution behind the same batch
    normalisation and ReLU (their code, github.com/szagoruyko/wide-residual-networks). ``dropout`` stands between the two
    convolutions; the paper has 0.3 on CIFAR. ``weight_decay`` acts on every kernel; the paper has 5e-4. The paper
    normalises images by their data set; here they are scaled to -1 to 1.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    import keras
    from keras import layers

    # Keras' penalty has the gradient 2 * l2 * weight.
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

    def convolution(x: Any, filters: int, kernel: int = 3, stride: int = 1) -> Any:
        if kernel == 3 and stride == 2:  # "same" would pad one side only: the two branches would be a pixel apart
            x = layers.ZeroPadding2D()(x)
        return layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=penalty,
        )(x)

    def activation(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))

    def block(x: Any, filters: int, stride: int) -> Any:
        activated = activation(x)
        shortcut = x if x.shape[-1] == filters else convolution(activated, filters, 1, stride)
        x = activation(convolution(activated, filters, stride=stride))
        x = convolution(layers.Dropout(dropout)(x), filters)
        return layers.Add()([x, shortcut])

    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = convolution(x, 16)
    for filters, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
        for number in range((depth - 4) // 6):
            x = block(x, filters, stride if number == 0 else 1)
    x = layers.GlobalAveragePooling2D()(activation(x))
    return layers.Dense(classes, kernel_regularizer=penalty, name="logits")(x)
