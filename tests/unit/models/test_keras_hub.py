"""Presets of KerasHub: what their files may hold, how they are fetched, and, with the package, what is built from them."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import graft.presets
from graft.errors import UserError
from graft.files import record_sums
from graft.finetune import build_network
from graft.presets import FILES, Preset, check_preset, read_scaling
from graft.sources.presets import fetch_preset
from graft.weights import with_weights

HANDLES = [
    "resnet_18_imagenet",
    "hf://keras/resnet_18_imagenet",
    "kaggle://keras/resnetv1/keras/resnet_18_imagenet/3",
    "./resnet_18_imagenet",
    "../resnet_18_imagenet",
    "/",
    "a b/ü",
    f"./{'x' * 300}",
]
# As save_to_preset of keras_hub 0.32 writes them.
DTYPE = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
CONFIG = {
    "module": "keras_hub.src.models.resnet.resnet_backbone",
    "class_name": "ResNetBackbone",
    "config": {"name": "res_net_backbone", "trainable": True, "dtype": DTYPE, "image_shape": [None, None, 3]},
    "registered_name": "keras_hub>ResNetBackbone",
}
CONVERTER = {
    "module": "keras_hub.src.models.resnet.resnet_image_converter",
    "class_name": "ResNetImageConverter",
    "config": {"name": "res_net_image_converter", "image_size": [224, 224], "scale": 1 / 255, "offset": None},
    "registered_name": "keras_hub>ResNetImageConverter",
}


def write(folder: Path, config: Any = CONFIG, converter: Any = CONVERTER) -> Path:
    """A folder with the files of a preset, whose weights are none."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "image_converter.json").write_text(json.dumps(converter))
    h5py.File(folder / "model.weights.h5", "w").close()
    return folder


def config_with(**arguments: Any) -> dict[str, Any]:
    return CONFIG | {"config": {**CONFIG["config"], **arguments}}


# -- names ---------------------------------------------------------------------------------------------------------------


def test_every_handle_has_a_folder_of_its_own_inside_the_folder_of_weights() -> None:
    names = [Preset(handle).name for handle in HANDLES]
    assert len(set(names)) == len(HANDLES)
    assert all(name.startswith("hub-") and name.replace("-", "").replace("_", "").isalnum() for name in names)
    assert all(name.isascii() and len(name) < 128 for name in names)


def test_only_a_users_own_folder_has_files_that_are_there_already() -> None:
    assert [Preset(handle).folder is not None for handle in HANDLES] == [False] * 3 + [True] * 5
    assert Preset("./mine").files == ["mine/config.json", "mine/image_converter.json", "mine/model.weights.h5"]
    assert Preset("resnet_18_imagenet").files == []


# -- files ---------------------------------------------------------------------------------------------------------------


def test_what_keras_hub_saves_is_accepted(tmp_path: Path) -> None:
    check_preset(write(tmp_path / "preset"))


FOREIGN = "which is not loaded: module"
LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_with(dtype=DTYPE | {"module": "os"}), FOREIGN),
        (config_with(dtype=DTYPE | {"module": "keras_hub_evil.models"}), FOREIGN),
        (config_with(dtype=DTYPE | {"registered_name": "builtins>eval"}), FOREIGN),
        (config_with(dtype=DTYPE | {"module": None}), FOREIGN),
        (config_with(dtype=DTYPE | {"module": ["keras"]}), FOREIGN),
        (config_with(block=[{"any": LAMBDA}]), FOREIGN),
        (CONFIG | {"build_config": LAMBDA}, FOREIGN),
        (CONFIG | {"module": "builtins", "class_name": "function"}, FOREIGN),
        (CONFIG | {"registered_name": "keras_hub>ImageClassifier"}, "is not a backbone of KerasHub for images"),
        (CONFIG | {"config": {"vocabulary_size": 30522}}, "is not a backbone of KerasHub for images"),
        (CONFIG | {"class_name": "Functional", "registered_name": "Functional"}, "is not a backbone"),
        (CONFIG | {"config": [1]}, "has no class with a config"),
        ({"model_type": "resnet"}, "has no class with a config"),
        ([CONFIG], "has no class with a config"),
    ],
)
def test_a_config_that_names_anything_else_is_refused(tmp_path: Path, config: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        check_preset(write(tmp_path / "preset", config))
    assert str(error.value).startswith(f"{tmp_path}/preset/config.json: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [b"", b"<html>", b"\xff", b"[" * 10**5, b'"' + b"x" * 2**20 + b'"'])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, text: bytes) -> None:
    (write(tmp_path / "preset") / name).write_bytes(text)
    with pytest.raises(UserError, match=rf"/{name}: (not JSON|has more than|not a file of weights)"):
        check_preset(tmp_path / "preset")


@pytest.mark.parametrize(
    ("described", "scale", "offset"),
    [
        ({"scale": 1 / 255, "offset": None}, [1 / 255] * 3, [0.0] * 3),
        ({"scale": [0.5, 1, 2], "offset": [-1, 0, 1]}, [0.5, 1.0, 2.0], [-1.0, 0.0, 1.0]),
        ({"image_size": [224, 224]}, [1.0] * 3, [0.0] * 3),
        ({"scale": 0.5, "mean": [1.0, 2.0, 3.0], "variance": [4.0, 1.0, 0.25]}, [0.25, 0.5, 1.0], [-0.5, -2.0, -6.0]),
    ],
)
def test_scaling_is_what_the_image_converter_says(
    tmp_path: Path, described: dict[str, Any], scale: list[float], offset: list[float]
) -> None:
    folder = write(tmp_path / "preset", converter=CONVERTER | {"config": described})
    assert read_scaling(folder) == (scale, offset)


@pytest.mark.parametrize("scale", ["1", True, [1, 2], [1, 2, "3"], {"value": 1}, float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(tmp_path: Path, scale: Any) -> None:
    with pytest.raises(UserError, match=r"image_converter\.json: scale is neither a number nor a list of three"):
        check_preset(write(tmp_path / "preset", converter=CONVERTER | {"config": {"scale": scale}}))


# -- fetching ------------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder ``served``."""
    (tmp_path / "served").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("handle", "path"),
    [
        ("kaggle://keras/resnetv1/keras/resnet_18/3", "kaggle/keras/resnetv1/keras/resnet_18/3/download"),
        ("hf://keras/resnet_18", "hf/keras/resnet_18/resolve/main"),
    ],
)
def test_files_come_from_kaggle_or_hugging_face(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, handle: str, path: str
) -> None:
    monkeypatch.setattr(graft.presets, "KAGGLE", f"{address}/kaggle")
    monkeypatch.setattr(graft.presets, "HUGGING_FACE", f"{address}/hf")
    served = write(tmp_path / "served" / path)
    fetched = fetch_preset(Preset(handle), tmp_path / "data", say=lambda line: None)
    assert [file.name for file in fetched] == list(FILES)
    assert contents(tmp_path / "data") == contents(served)


def test_a_mirror_has_presets_in_folders_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.presets, "HUGGING_FACE", "http://127.0.0.1:9")
    preset = Preset("hf://keras/resnet_18")
    mirror = tmp_path / "mirror"
    write(mirror / preset.name)
    fetch_preset(preset, tmp_path / "data", [str(mirror)], lambda line: None)
    assert contents(tmp_path / "data") == contents(mirror / preset.name)


def test_files_that_were_put_there_need_neither_network_nor_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    write(tmp_path / "data")
    assert len(fetch_preset(Preset("resnet_18_imagenet"), tmp_path / "data")) == 3


def test_what_arrives_is_checked_before_it_is_recorded(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.presets, "HUGGING_FACE", address)
    write(tmp_path / "served/keras/x/resolve/main", config_with(dtype=LAMBDA))
    with pytest.raises(UserError, match=rf"not loaded: .*; delete {tmp_path}/data to fetch it again"):
        fetch_preset(Preset("hf://keras/x"), tmp_path / "data", say=lambda line: None)


def test_a_file_that_is_nowhere_says_where_to_put_it(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.presets, "HUGGING_FACE", address)
    (write(tmp_path / "served/keras/x/resolve/main") / "image_converter.json").unlink()
    with pytest.raises(UserError, match=r"image_converter\.json: found nowhere; put it at .*\n.*HTTP 404"):
        fetch_preset(Preset("hf://keras/x"), tmp_path / "data", say=lambda line: None)


def test_a_users_own_folder_is_copied_anew(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine")
    for scale in (1.0, 2.0):
        (mine / "image_converter.json").write_text(json.dumps(CONVERTER | {"config": {"scale": scale}}))
        fetch_preset(Preset(str(mine)), tmp_path / "data")
        assert read_scaling(tmp_path / "data")[0] == [scale] * 3
    (mine / "model.weights.h5").write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{mine}/model\.weights\.h5: not a file of weights"):
        fetch_preset(Preset(str(mine)), tmp_path / "data")


def test_a_changed_file_of_a_preset_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    record_sums(folder / "SHA256SUMS", [folder / name for name in FILES])
    spec = {"architecture": "hub:x", "weights": "preset"}
    read = with_weights(spec, [str(folder / "SHA256SUMS")])
    assert read == spec | {"preset": str(folder), "weights_file": f"{folder}/model.weights.h5"}
    assert "weights_file" not in with_weights(spec | {"weights": "none"}, [str(folder / "SHA256SUMS")])
    own = spec | {"weights": {"file": "own.h5"}}
    assert with_weights(own, [str(folder / "SHA256SUMS"), "own.h5"])["weights_file"] == "own.h5"
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        with_weights(spec, [str(folder / "SHA256SUMS")])


@pytest.mark.parametrize("needs_it", ["list", "network"])
def test_without_the_package_one_line_says_how_to_install_it(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs_it: str
) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"^architecture: hub:\.\.\. needs the package keras-hub: pip install .*$"):
        if needs_it == "list":
            fetch_preset(Preset("resnet_18_imagenet"), tmp_path / "data")
        else:
            build_network("hub:x", 32, 10, preset=str(write(tmp_path / "preset")))


# -- with the package ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(keras: Any) -> Any:
    return pytest.importorskip("keras_hub")


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.stack([image[100:164, 200:264] for image in load_sample_images().images])


def resnet(hub: Any, **more: Any) -> Any:
    return hub.models.ResNetBackbone([64], [3], [64, 64], [1, 1], [1, 2], "basic_block", **more)


def efficientnet(hub: Any) -> Any:
    names = ("kernel_sizes", "num_repeats", "input_filters", "output_filters", "expansion_ratios", "strides")
    stacks = dict(zip(names, ([3, 3], [1, 1], [32, 16], [16, 24], [1, 6], [1, 2]), strict=True))
    return hub.models.EfficientNetBackbone(
        **{f"stackwise_{name}": values for name, values in stacks.items()},
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_block_types=["v1", "v1"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,
    )


def hgnetv2(hub: Any) -> Any:
    return hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[[8, 8, 8, 1, 1, 3], [8, 8, 16, 1, 1, 3]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=(64, 64, 3),
        out_features=None,
    )


def mobilenet(hub: Any) -> Any:
    return hub.models.MobileNetBackbone(
        stackwise_expansion=[[16], [32, 32]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[16], [24, 24]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[0.25], [None, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish"] * 2],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=None,
        input_activation="hard_swish",
        output_activation="hard_swish",
        input_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        squeeze_and_excite=0.5,
        last_layer_filter=32,
    )


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "ResNet": resnet,
    "ResNetV2": partial(resnet, use_pre_activation=True),
    "VGG": lambda hub: hub.models.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[8, 16]),
    "DenseNet": lambda hub: hub.models.DenseNetBackbone([2, 2], compression_ratio=0.5, growth_rate=8),
    "Xception": lambda hub: hub.models.XceptionBackbone([[32, 64], [64, 128]], [True, False]),
    "CSPNet": lambda hub: hub.models.CSPNetBackbone(
        stem_filters=32,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 1],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[32, 64],
        block_type="dark_block",
        stage_type="dark",
    ),
    "EfficientNet": efficientnet,
    "MobileNet": mobilenet,
    "HGNetV2": hgnetv2,
}


def with_statistics(network: Any) -> Any:
    """``network``, with other statistics in its batch normalisations than those of a new one."""
    network.set_weights([weight + 0.25 for weight in network.get_weights()])
    return network


def save(network: Any, hub: Any, folder: Path, **converter: Any) -> Path:
    network.save_to_preset(str(folder))
    hub.layers.ImageConverter(**converter).save_to_preset(str(folder))
    return folder


def build(folder: Path, **described: Any) -> Any:
    paths = {"preset": str(folder), "weights_file": f"{folder}/model.weights.h5"}
    return build_network("hub:x", 64, 3, **{"weights": "preset"} | paths | described)


SCALE, OFFSET = [1 / 58.4, 1 / 57.1, 1 / 57.4], [-2.12, -2.04, -1.8]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_backbone_sees_and_says_what_keras_hubs_own_does(
    keras: Any, hub: Any, photos: np.ndarray, tmp_path: Path, family: str
) -> None:
    keras.utils.set_random_seed(0)
    network = FAMILIES[family](hub)
    folder = save(network, hub, tmp_path / "preset", image_size=(64, 64), scale=SCALE, offset=OFFSET)
    check_preset(folder)
    converter = hub.layers.ImageConverter(image_size=(64, 64), scale=SCALE, offset=OFFSET)
    theirs = network.predict_on_batch(converter(photos))
    theirs = list(theirs.values())[-1] if isinstance(theirs, dict) else theirs

    model = build(folder)
    features = keras.Model(model.input, model.get_layer("head_pooling").input)
    np.testing.assert_allclose(features.predict_on_batch(photos), theirs, rtol=1e-4, atol=1e-5)
    assert model.input.dtype == "uint8"
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict_on_batch(photos), model.predict_on_batch(photos))


def test_older_converters_normalise_as_keras_hub_reads_them(
    hub: Any, keras: Any, photos: np.ndarray, tmp_path: Path
) -> None:
    described = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "variance": [0.05, 0.06, 0.07]}
    folder = write(tmp_path / "preset", converter=CONVERTER | {"config": described})
    theirs = keras.ops.convert_to_numpy(hub.layers.ImageConverter(**described)(photos))
    scale, offset = read_scaling(folder)
    np.testing.assert_allclose(photos * np.array(scale) + np.array(offset), theirs, atol=1e-5)


@pytest.fixture(scope="module")
def folder(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset of a small ResNet."""
    return save(with_statistics(resnet(hub)), hub, tmp_path_factory.mktemp("presets") / "resnet", scale=1 / 255)


def test_stages_are_frozen_by_name_and_keep_the_weights_of_the_preset(
    hub: Any, folder: Path, photos: np.ndarray
) -> None:
    model = build(folder, freeze={"before": "stack1"})
    network = hub.models.Backbone.from_preset(str(folder))
    model.compile("sgd", "mse")
    model.fit(photos, np.eye(3)[[0, 1]], verbose=0)
    kept = {
        layer.name: all(map(np.array_equal, layer.get_weights(), network.get_layer(layer.name).get_weights()))
        for layer in model.layers
        if layer.weights and layer.name != "logits"
    }
    assert {name for name, same in kept.items() if not same} == {name for name in kept if name.startswith("stack1_")}
    assert any(name.startswith("stack0_") for name in kept)


def test_a_stage_of_a_preset_may_be_replaced(folder: Path, photos: np.ndarray) -> None:
    model = build(folder, replace_from={"stage": "stack1", "blocks": 1, "filters": 8, "stride": 1, "momentum": 0.99})
    assert not any(layer.name.startswith("stack1") for layer in model.layers)
    assert model.predict_on_batch(photos).shape == (2, 3)


def test_without_weights_the_preset_gives_the_architecture_alone(keras: Any, folder: Path) -> None:
    def kernels(weights: str) -> np.ndarray:
        keras.utils.set_random_seed(3)
        return build(folder, weights=weights).get_layer("conv1_conv").get_weights()[0]

    assert not np.array_equal(kernels("none"), kernels("preset"))
    assert np.array_equal(kernels("none"), kernels("none"))


def test_batch_normalisations_inside_blocks_are_frozen_too(keras: Any, hub: Any, tmp_path: Path) -> None:
    model = build(save(mobilenet(hub), hub, tmp_path / "preset"), freeze_batch_norm=True)
    found = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(found) > 4
    assert not any(layer.trainable for layer in found)


def test_a_network_without_a_feature_map_is_refused(hub: Any, tmp_path: Path) -> None:
    network = hub.models.ViTBackbone(
        image_shape=(64, 64, 3), patch_size=16, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    with pytest.raises(UserError, match=r"^[^\n]*ViTBackbone does not end in a feature map \(n, h, w, c\)[^\n]*$"):
        build(save(network, hub, tmp_path / "preset"))


def test_layers_that_keras_cannot_save_are_refused(hub: Any, tmp_path: Path) -> None:
    network = hub.models.MiTBackbone(
        layerwise_depths=[1, 1],
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[8, 4],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        num_layers=2,
        image_shape=(64, 64, 3),
        hidden_dims=[16, 32],
    )
    with pytest.raises(UserError, match=r"^this preset is of layers that Keras cannot save and load: [^\n]*$"):
        build(save(network, hub, tmp_path / "preset"))


def test_weights_of_another_network_are_refused(hub: Any, folder: Path, tmp_path: Path) -> None:
    other = save(resnet(hub), hub, tmp_path / "preset")
    config = json.loads((other / "config.json").read_text())
    config["config"]["input_conv_kernel_sizes"] = [7]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"^[^\n]*preset: KerasHub cannot load this preset: [^\n]*$"):
        build(other)


def test_a_preset_that_keras_hub_does_not_list_is_named_with_what_comes_closest(hub: Any, tmp_path: Path) -> None:
    said = f"architecture: KerasHub {hub.__version__} has no preset 'resnet18_imagenet'; did you mean 'resnet_18_imagenet'?"
    with pytest.raises(UserError) as error:
        fetch_preset(Preset("resnet18_imagenet"), tmp_path / "data")
    assert str(error.value) == said


def test_a_listed_preset_is_fetched_from_where_keras_hub_says(
    hub: Any, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.presets, "KAGGLE", address)
    handle = hub.models.ResNetBackbone.presets["resnet_18_imagenet"]["kaggle_handle"].removeprefix("kaggle://")
    served = write(tmp_path / "served" / handle / "download")
    fetch_preset(Preset("resnet_18_imagenet"), tmp_path / "data", say=lambda line: None)
    assert contents(tmp_path / "data") == contents(served)
