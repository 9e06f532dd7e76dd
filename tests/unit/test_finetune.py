from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.finetune import build_network, rate_factors

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


# -- a stage replaced, pixels repeated, stages frozen by name --------------------------------------------------------------


@pytest.mark.parametrize(("dense", "parameters"), [([1024, 1024, 1024], 27_790_213), ([1024, 2048, 2048], 31_991_685)])
def test_a_replaced_last_stage_of_resnet50_has_the_parameters_of_the_report(
    keras: Any, dense: list[int], parameters: int
) -> None:
    replaced = {"stage": "conv5", "blocks": 3, "filters": 512, "stride": 1, "momentum": 0.8}
    model = build_network("resnet50", 64, 5, replace_from=replaced, head={"dense": dense, "dropout": 0.25})
    assert model.count_params() == parameters
    assert model.get_layer("new_block3_out").output.shape[1:3] == (4, 4), "stride 1 keeps the size of conv4"
    assert model.get_layer("new_block1_0_bn").momentum == 0.8


def test_what_is_replaced_loses_its_weights_and_what_stands_before_keeps_them(keras: Any) -> None:
    replaced = {"stage": "stage6", "blocks": 1, "filters": 8, "stride": 2, "momentum": 0.9}
    whole = build_network("efficientnet_lite0", 64, 5, weights="imagenet")
    model = build_network("efficientnet_lite0", 64, 5, weights="imagenet", replace_from=replaced, freeze="all")
    kept = [layer.name for layer in model.layers if layer.weights and not layer.name.startswith(("new_", "logits"))]
    assert kept[0] == "stem_conv" and kept[-1].startswith("stage5_block3")
    for name in kept:
        pairs = zip(model.get_layer(name).get_weights(), whole.get_layer(name).get_weights(), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
        assert not model.get_layer(name).trainable
    new = [layer for layer in model.layers if layer.name.startswith("new_") and layer.weights]
    assert len(new) == 8 and all(layer.trainable for layer in new)


def test_a_stage_to_replace_that_does_not_exist_is_named(keras: Any) -> None:
    replaced = {"stage": "stage9", "blocks": 1, "filters": 8, "stride": 1, "momentum": 0.9}
    with pytest.raises(UserError, match=r"^replace_from\.stage: 'stage9' is neither a layer nor a stage"):
        build_network("efficientnet_lite0", 64, 5, replace_from=replaced)


def test_resnet50_behind_an_upsampling_has_the_parameters_of_the_report(keras: Any) -> None:
    model = build_network("resnet50", 32, 10, upsample=7, head={"dense": [1024, 512]})
    assert model.count_params() == 26_215_818
    assert model.get_layer("conv1_conv").output.shape[1:3] == (112, 112), "half of 7 x 32"


def test_upsampling_repeats_pixels(keras: Any, digits: Any) -> None:
    data = digits(32, 4)
    small = build_network("efficientnet_lite0", 32, 3, weights="imagenet", upsample=2)
    large = build_network("efficientnet_lite0", 64, 3, weights="imagenet")
    large.set_weights(small.get_weights())
    repeated = data.inputs[0].repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(small.predict_on_batch(data.inputs[0]), large.predict_on_batch(repeated), atol=1e-5)


def test_stages_and_layers_are_frozen_by_name(keras: Any) -> None:
    model = build_network("efficientnet_lite0", 64, 5, weights="imagenet", freeze=["stem", "stage2_block1", "top_conv"])
    frozen = {layer.name for layer in model.layers if layer.weights and not layer.trainable}
    assert {"stem_conv", "stem_bn", "stage2_block1_expand_conv", "top_conv"} <= frozen
    assert all(name.startswith(("stem_", "stage2_block1_", "top_conv")) for name in frozen)


def test_the_heads_activation_is_relu_or_what_is_named(keras: Any) -> None:
    named = build_network("efficientnet_lite0", 32, 3, head={"dense": [4], "activation": "tanh"})
    plain = build_network("efficientnet_lite0", 32, 3, head={"dense": [4]})
    assert named.get_layer("head_dense1").activation is keras.activations.tanh
    assert plain.get_layer("head_dense1").activation is keras.activations.relu


# -- rates by stage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet50", {"conv1_conv": 5, "conv2_block1_1_conv": 4, "conv3_block1_1_conv": 3, "conv3_block4_3_conv": 3,
                      "conv4_block1_0_conv": 2, "conv5_block1_1_conv": 1, "conv5_block3_3_bn": 1, "logits": 0}),
        ("efficientnet_lite0", {"stem_conv": 5, "stage5_block1_project_conv": 2, "stage7_block1_project_bn": 1,
                                "top_conv": 1, "head_dense1": 0}),
        ("efficientnetb0", {"stem_conv": 5, "block3a_se_reduce": 3, "block3b_se_expand": 3, "top_conv": 1}),
    ],
)  # fmt: skip
def test_rates_fall_from_stage_to_stage_towards_the_image(
    keras: Any, architecture: str, expected: dict[str, int]
) -> None:
    """Squeeze-and-excitation has maps of one pixel, and yet belongs to the stage that it weighs."""
    factors = rate_factors(build_network(architecture, 64, 5, head={"dense": [4]}), 0.5)
    assert {name: factors[name] for name in expected} == {name: 0.5**depth for name, depth in expected.items()}


def test_what_replaces_a_stage_learns_as_fast_as_the_head(keras: Any) -> None:
    replaced = {"stage": "stage6", "blocks": 1, "filters": 8, "stride": 1, "momentum": 0.9}
    factors = rate_factors(build_network("efficientnet_lite0", 64, 5, replace_from=replaced), 0.5)
    assert factors["new_block1_1_conv"] == factors["logits"] == 1.0
    assert factors["stage5_block3_project_conv"] == 0.5
