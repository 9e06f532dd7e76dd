"""The multilayer perceptron of which a published report combines five on MNIST."""

from typing import Annotated, Any

from annotated_types import Ge, Lt

from graft.registry import part


@part("mnist_mlp")
def mnist_mlp(inputs: Any, classes: int, *, dropout: Annotated[float, Ge(0), Lt(1)] = 0.2) -> Any:
    """Four dense layers of 50, each with batch normalisation before its ReLU and dropout after it; all He-normal.

    The report (Kebede, "Transfer Learning", University of Memphis, 2021, "Ensembling the models") lists no layers: they
    are those of the lecture notebook it cites as [8] (github.com/zahangircse/COMP_EECE_7or8740_NNs,
    "Lecture_10_model_ensemble.ipynb"), which its author's own code repeats. That network is no CNN: it reads 784 grey
    values from 0 to 255. Hence colours are averaged and not rescaled here.
    48,210 parameters, of which 47,810 trainable, for 28x28 and 10 classes.
    ``inputs``: uint8 (n, h, w, 3); returns logits (n, classes).
    """
    from keras import layers, ops

    x = layers.Rescaling(1.0)(inputs)
    x = layers.Flatten()(ops.mean(x, axis=-1))
    for _ in range(4):
        x = layers.Dense(50, kernel_initializer="he_normal")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.Dropout(dropout)(x)
    return layers.Dense(classes, kernel_initializer="he_normal", name="logits")(x)
