"""How an architecture becomes the network that a study trains: pretrained weights, frozen layers and a new head."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graft.errors import UserError
from graft.presets import part_name
from graft.registry import parts
from graft.weights import start_from

MODELS = "graft.models"


def _head(
    features: Any,
    classes: int,
    pooling: str = "avg",
    dense: Sequence[int] = (),
    dropout: float = 0.0,
    activation: str = "relu",
) -> Any:
    from keras import layers

    pool = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D, "flatten": layers.Flatten}
    x = pool[pooling](name="head_pooling")(features)
    for k, units in enumerate(dense, 1):
        x = layers.Dense(units, activation=activation, name=f"head_dense{k}")(x)
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(classes, name="logits")(x)


def _of_stage(model: Any, stage: str, key: str) -> list[int]:
    """The positions of the layers that are ``stage`` or belong to it."""
    names = [layer.name for layer in model.layers]
    found = [k for k, name in enumerate(names) if name == stage or name.startswith(f"{stage}_")]
    if not found:
        raise UserError(f"{key}: {stage!r} is neither a layer nor a stage; layers: {', '.join(names)}")
    return found


def _freeze(model: Any, backbone: Any, freeze: str | Mapping[str, str] | Sequence[str]) -> None:
    if isinstance(freeze, Mapping):
        frozen = model.layers[: _of_stage(model, freeze["before"], "freeze.before")[0]]
    elif isinstance(freeze, str):
        frozen = backbone.layers if freeze == "all" else []
    else:
        frozen = [model.layers[k] for stage in freeze for k in _of_stage(model, stage, "freeze")]
    for layer in frozen:
        layer.trainable = False


def _new_stage(features: Any, blocks: int, filters: int, stride: int, momentum: float) -> Any:
    """Bottleneck blocks of ResNet (He et al., arXiv 1512.03385, section 4.1) with fresh weights."""
    from keras import layers

    def convolution(x: Any, name: str, count: int, kernel: int = 1, step: int = 1) -> Any:
        x = layers.Conv2D(count, kernel, step, padding="same", name=f"{name}_conv")(x)
        return layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)

    x = features
    for block in range(1, blocks + 1):
        name, step = f"new_block{block}", stride if block == 1 else 1
        shortcut = convolution(x, f"{name}_0", 4 * filters, 1, step) if block == 1 else x
        x = layers.ReLU(name=f"{name}_1_relu")(convolution(x, f"{name}_1", filters, 1, step))
        x = layers.ReLU(name=f"{name}_2_relu")(convolution(x, f"{name}_2", filters, 3))
        x = layers.Add(name=f"{name}_add")([shortcut, convolution(x, f"{name}_3", 4 * filters)])
        x = layers.ReLU(name=f"{name}_out")(x)
    return x


def _cut_before(backbone: Any, stage: str) -> Any:
    """The backbone without ``stage`` and all that follows."""
    import keras

    first = backbone.layers[_of_stage(backbone, stage, "replace_from.stage")[0]]
    return keras.Model(backbone.input, first.input)


def is_new(layer: Any) -> bool:
    """Whether a layer stands behind the backbone: the head, and what replaces a stage."""
    name: str = layer.name
    return name == "logits" or name.startswith(("head_", "new_"))


def build_network(
    architecture: str,
    image_size: int,
    classes: int,
    *,
    options: Mapping[str, Any] | None = None,
    weights: str | Mapping[str, str] = "none",
    freeze: str | Mapping[str, str] | Sequence[str] = "none",
    freeze_batch_norm: bool = False,
    replace_from: Mapping[str, Any] | None = None,
    upsample: int = 1,
    weights_file: str | None = None,
    preset: str | None = None,
    head: Mapping[str, Any] | None = None,
) -> Any:
    """The Keras model that a study describes: uint8 RGB (n, image_size, image_size, 3) to logits (n, classes).

    ``weights_file`` is the file of ``weights`` that come as one. Published ones are those of the whole backbone; from any
    other file each layer that is kept takes what is saved under its name, and the layers behind the backbone what fits.
    ``preset`` is the folder of the files that a backbone of KerasHub is built from. ``upsample`` repeats each pixel so
    many times in either direction before the backbone sees it. ``replace_from`` (``stage``, ``blocks``, ``filters``,
    ``stride``, ``momentum``) leaves out that stage of the backbone and what follows, and puts ResNet blocks with fresh
    weights in its place. ``freeze`` is ``none``, ``all`` (the whole backbone, as far as it is kept), ``{before: stage}``,
    or a list of stages or layers; ``freeze_batch_norm`` freezes every BatchNormalization of the backbone besides, which
    keeps the statistics of its weights when the new images are few. A frozen BatchNormalization runs in inference mode.
    Layers are built in a fixed order, so a seed set before fixes every initial weight.

    Raises:
        UserError: the image is too small for the architecture, the stage to freeze before is not in it, or its weights
            cannot be read.
    """
    import keras

    part = parts(MODELS)[part_name(architecture)]
    inputs = keras.Input((image_size, image_size, 3), dtype="uint8", name="image")
    backbone = None
    try:
        if part.facts.get("backbone"):
            seen = keras.layers.UpSampling2D(upsample, name="upsampling")(inputs) if upsample > 1 else inputs
            folder = (Path(preset),) if preset else ()
            backbone = keras.Model(inputs, part.function(seen, *folder, **(options or {})))
            if finish := part.facts.get("finish"):
                backbone = finish(backbone)
                inputs = backbone.input
            if isinstance(weights, str) and weights != "none":
                part.facts["weights"][weights].load(backbone, weights_file and Path(weights_file))
            features = backbone.output
            if replace_from:
                described = dict(replace_from)
                backbone = _cut_before(backbone, described.pop("stage"))
                features = _new_stage(backbone.output, **described)
            outputs = _head(features, classes, **(head or {}))
        else:
            outputs = part.function(inputs, classes, **(options or {}))
    except ValueError as error:
        said = re.sub(r"\x1b\[\d+m", "", str(error)).splitlines()  # Keras colours its errors
        raise UserError(f"{architecture} cannot be built for {image_size} px images: {said[0]}") from error
    model = keras.Model(inputs, outputs, name=part.name)
    if isinstance(weights, Mapping):
        start_from(model, Path(str(weights_file)), is_new)
    if backbone is not None:
        _freeze(model, backbone, freeze)
    # Blocks of KerasHub hold theirs inside.
    for layer in backbone._flatten_layers() if backbone is not None and freeze_batch_norm else ():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def rate_factors(model: Any, decay: float) -> dict[str, float]:
    """What the learning rate of each layer is multiplied by: 1 behind the backbone, and ``decay`` a stage towards the image.

    Layers are of one stage where the trunk has one resolution: that of the largest feature map that still comes from them.
    Discriminative fine-tuning (Howard and Ruder, arXiv 1801.06146, section 3.1), by stage instead of by layer.
    """
    size: dict[str, int] = {}
    for operation in reversed(model.operations):
        after = [size.get(node.operation.name, 0) for node in operation._outbound_nodes]
        shape = operation.output.shape
        size[operation.name] = max([shape[1] if len(shape) == 4 else 0, *after])
    kept = {layer.name: size[layer.name] for layer in model.layers if not is_new(layer) and size[layer.name]}
    stages = sorted(set(kept.values()))
    depth = {name: 1 + stages.index(side) for name, side in kept.items()}
    return {layer.name: decay ** depth.get(layer.name, 0) for layer in model.layers}
