"""ResNet-18 for small images, as comparisons on CIFAR commonly use it."""

from typing import Annotated, Any

from annotated_types import Ge

from graft.registry import part


@part("resnet18_cifar")
def resnet18_cifar(inputs: Any, classes: int, *, weight_decay: Annotated[float, Ge(0)] = 0.0) -> Any:
    """ResNet-18 (He et al., arXiv 1512.03385, table 1) whose stem is one 3x3 convolution of stride 1, without pooling.

    11,173,962 trainable parameters for 32x32x3 and 10 classes, with 1x1 projections where the shape changes (option B of
    the paper), as in github.com/kuangliu/pytorch-cifar, from whose framework also the constants of batch normalisation
    are. ``weight_decay`` acts on every kernel; 5e-4 is common.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    import keras
    from keras import layers

    # Keras' penalty has the gradient 2 * l2 * weight.
    penalty = keras.regularizers.L2(weight_decay / 2) if weight_decay else None

    def convolution(x: Any, filters: int, kernel: int = 3, stride: int = 1) -> Any:
        if kernel == 3 and stride == 2:  # "same" would pad one side only: the two branches would be a pixel apart
            x = layers.ZeroPadding2D()(x)
        x = layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=penalty,
        )(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def block(x: Any, filters: int, stride: int) -> Any:
        shortcut = convolution(x, filters, 1, stride) if stride > 1 else x
        x = layers.ReLU()(convolution(x, filters, stride=stride))
        x = convolution(x, filters)
        return layers.ReLU()(layers.Add()([x, shortcut]))

    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = layers.ReLU()(convolution(x, 64))
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = block(block(x, filters, stride), filters, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dense(classes, kernel_regularizer=penalty, name="logits")(x)
