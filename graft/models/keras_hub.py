"""The image backbones of KerasHub, from presets: an optional package, keras_hub 0.32 (keras.io/keras_hub)."""

import re
from pathlib import Path
from typing import Any

from graft.errors import UserError
from graft.presets import PART, keras_hub, read_config, read_scaling
from graft.registry import part
from graft.weights import Weights


def _said(error: Exception) -> str:
    """The first sentence or line of an error of Keras, without colours."""
    lines = re.sub(r"\x1b\[\d+m", "", str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _network(folder: Path, size: int, load_weights: bool) -> Any:
    """The backbone of a preset as KerasHub builds it, for images of ``size`` pixels."""
    key = "image_shape" if "image_shape" in read_config(folder) else "input_shape"
    backbone = keras_hub().models.Backbone
    try:
        # Keras refuses code: what is deserialised here is in its safe mode.
        return backbone.from_preset(str(folder), load_weights=load_weights, **{key: (size, size, 3)})
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        raise UserError(f"{folder}: KerasHub cannot load this preset: {_said(error)}") from error


def _load(backbone: Any, path: Path | None) -> None:
    """Set the weights of the preset that the file ``path`` belongs to."""
    assert path is not None
    size = backbone.get_layer("preprocessing").output.shape[1]
    # Not by name: a copy of some layers has another one.
    backbone.set_weights(_network(path.parent, size, load_weights=True).get_weights())


def _own_graph(backbone: Any) -> Any:
    """A copy with new layers: those of ``backbone`` stand in KerasHub's graph too."""
    import keras

    try:
        return keras.models.clone_model(backbone)
    except TypeError as error:
        raise UserError(f"this preset is of layers that Keras cannot save and load: {_said(error)}") from error


@part(PART, backbone=True, preset=True, stages=None, weights={"preset": Weights(_load)}, finish=_own_graph)
def hub(inputs: Any, folder: Path) -> Any:
    """An image backbone of KerasHub, named by a preset.

    ``inputs``: RGB from 0 to 255 (n, h, w, 3), h and w equal; returns its last feature map (n, h', w', c).

    Raises:
        UserError: KerasHub is not installed, or the preset in ``folder`` is of another kind.
    """
    from keras import layers

    network = _network(folder, inputs.shape[1], load_weights=False)
    if len(network.inputs) != 1:
        raise UserError(f"{folder}: this backbone takes more than images")
    scale, offset = read_scaling(folder)
    outputs = network.call(layers.Rescaling(scale, offset=offset, name="preprocessing")(inputs))
    features = list(outputs.values())[-1] if isinstance(outputs, dict) else outputs
    if len(getattr(features, "shape", ())) != 4:
        raise UserError(
            f"{folder}: {type(network).__name__} does not end in a feature map (n, h, w, c), which a head needs; "
            "take a preset of a convolutional network"
        )
    return features
