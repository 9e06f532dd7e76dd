"""How an architecture becomes the network that a study trains: pretrained weights, frozen layers and a new head."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.errors import UserError
from graft.registry import parts

MODELS = "graft.models"


def _head(features: Any, classes: int, pooling: str = "avg", dense: Sequence[int] = (), dropout: float = 0.0) -> Any:
    from keras import layers

    pool = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D, "flatten": layers.Flatten}
    x = pool[pooling](name="head_pooling")(features)
    for k, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"head_dense{k}")(x)
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(classes, name="logits")(x)


def _freeze_before(model: Any, stage: str) -> None:
    names = [layer.name for layer in model.layers]
    first = next((k for k, name in enumerate(names) if name == stage or name.startswith(f"{stage}_")), None)
    if first is None:
        raise UserError(f"freeze.before: {stage!r} is neither a layer nor a stage; layers: {', '.join(names)}")
    for layer in model.layers[:first]:
        layer.trainable = False


def build_network(
    architecture: str,
    image_size: int,
    classes: int,
    *,
    options: Mapping[str, Any] | None = None,
    weights: str = "none",
    freeze: str | Mapping[str, str] = "none",
    freeze_batch_norm: bool = False,
    weights_file: str | None = None,
    head: Mapping[str, Any] | None = None,
) -> Any:
    """The Keras model that a study describes: uint8 RGB (n, image_size, image_size, 3) to logits (n, classes).

    ``weights_file`` is the file of ``weights`` that come as one. ``freeze`` is ``none``, ``all`` (the whole backbone) or ``{before: stage}``; ``freeze_batch_norm`` freezes every
    BatchNormalization of the backbone besides, which keeps the statistics of its weights when the new images are few. A
    frozen BatchNormalization runs in inference mode. Layers are built in a fixed order, so a seed set before fixes every initial weight.

    Raises:
        UserError: the image is too small for the architecture, the stage to freeze before is not in it, or its weights
            cannot be read.
    """
    import keras

    part = parts(MODELS)[architecture]
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8", name="image")
    backbone = None
    try:
        if part.facts.get("backbone"):
            features = part.function(inputs, **(options or {}))
            backbone = keras.Model(inputs, features)
            outputs = _head(features, classes, **(head or {}))
        else:
            outputs = part.function(inputs, classes, **(options or {}))
    except ValueError as error:
        said = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()  # Keras colours its errors
        raise UserError(f"{architecture} cannot be built for {image_size} px images: {said[0]}") from error
    model = keras.Model(inputs, outputs, name=architecture)
    if backbone is not None and weights != "none":
        part.facts["weights"][weights].load(backbone, weights_file and Path(weights_file))
    if backbone is not None and freeze == "all":
        for layer in backbone.layers:
            layer.trainable = False
    elif isinstance(freeze, Mapping):
        _freeze_before(model, freeze["before"])
    for layer in model.layers if freeze_batch_norm else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model
