from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.finetune import build_network

LITE0 = ("efficientnet_lite0", 32, 5)


def frozen(model: Any) -> list[str]:
    """The layers that have weights and train none."""
    return [layer.name for layer in model.layers if layer.weights and not layer.trainable]


def training(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if layer.trainable_weights]


def test_without_freezing_everything_trains(keras: Any) -> None:
    model = build_network(*LITE0)
    assert frozen(model) == []
    assert len(training(model)) == sum(bool(layer.weights) for layer in model.layers)


def test_freezing_all_leaves_the_head(keras: Any) -> None:
    model = build_network(*LITE0, freeze="all", head={"pooling": "max", "dense": [8, 4], "dropout": 0.5})
    assert training(model) == ["head_dense1", "head_dense2", "logits"]


@pytest.mark.parametrize(
    ("before", "first"), [("stage1", "stage1_block1_depthwise_conv"), ("stage6", "stage6_block1_expand_conv"),
                          ("stage6_block2", "stage6_block2_expand_conv"), ("top", "top_conv"),
                          ("stage7_block1_project_bn", "stage7_block1_project_bn")]
)  # fmt: skip
def test_freezing_before_a_place_trains_from_there_on(keras: Any, before: str, first: str) -> None:
    model = build_network(*LITE0, freeze={"before": before})
    assert training(model)[0] == first
    with_weights = [layer.name for layer in model.layers if layer.weights]
    cut = with_weights.index(first)
    assert frozen(model) == with_weights[:cut]
    assert training(model) == with_weights[cut:]


def test_batch_norm_is_frozen_everywhere_and_nothing_else_is(keras: Any) -> None:
    model = build_network(*LITE0, freeze={"before": "stage6"}, freeze_batch_norm=True)
    normalisations = {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert normalisations <= set(frozen(model))
    without = build_network(*LITE0, freeze={"before": "stage6"})
    assert set(training(model)) == set(training(without)) - normalisations


def test_a_place_that_the_network_lacks_is_an_error_that_lists_them(keras: Any) -> None:
    with pytest.raises(
        UserError, match=r"^freeze\.before: 'stage8' is neither a layer nor a stage; layers: image, .*logits$"
    ):
        build_network(*LITE0, freeze={"before": "stage8"})


def test_half_a_stage_name_is_no_stage(keras: Any) -> None:
    with pytest.raises(UserError, match=r"^freeze\.before: 'stag' is neither"):
        build_network(*LITE0, freeze={"before": "stag"})


@pytest.mark.parametrize(
    ("head", "shapes"),
    [
        ({}, {"head_pooling": (None, 1280)}),
        ({"pooling": "max", "dense": [8, 4]}, {"head_pooling": (None, 1280), "head_dense1": (None, 8), "head_dense2": (None, 4)}),
        ({"pooling": "flatten", "dropout": 0.25}, {"head_pooling": (None, 5120), "head_dropout": (None, 5120)}),
    ],
)  # fmt: skip
def test_a_head_is_what_the_study_says(keras: Any, head: dict[str, Any], shapes: dict[str, Any]) -> None:
    model = build_network("efficientnet_lite0", 64, 5, head=head)
    assert {layer.name: layer.output.shape for layer in model.layers if layer.name.startswith("head_")} == shapes
    assert model.get_layer("logits").output.shape == (None, 5)


def test_pooling_is_of_its_kind(keras: Any) -> None:
    images = np.zeros((1, 64, 64, 3), dtype=np.uint8)
    images[:, :20] = 255
    for pooling, over in (("avg", np.mean), ("max", np.max)):
        model = build_network("efficientnet_lite0", 64, 5, head={"pooling": pooling})
        ends = [model.get_layer("top_relu6").output, model.get_layer("head_pooling").output]
        features, pooled = (keras.ops.convert_to_numpy(end) for end in keras.Model(model.input, ends)(images))
        assert features.shape == (1, 2, 2, 1280)
        np.testing.assert_allclose(pooled, over(features, axis=(1, 2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_equal_seeds_give_equal_networks(keras: Any, weights: str) -> None:
    models = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        models.append(build_network(*LITE0, weights=weights))
    first, second, other = ([weight.tobytes() for weight in model.get_weights()] for model in models)
    assert first == second
    assert first != other


def test_published_weights_replace_all_of_the_backbone(keras: Any) -> None:
    one, two = (build_network(*LITE0, weights="imagenet") for _ in range(2))
    differ = [
        layer.name
        for layer, other in zip(one.layers, two.layers, strict=True)
        if any((a != b).any() for a, b in zip(layer.get_weights(), other.get_weights(), strict=True))
    ]
    assert differ == ["logits"]
