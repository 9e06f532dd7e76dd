"""Networks that start from weights in a file: a saved run, or a user's own."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.files import record_sums
from graft.finetune import build_network
from graft.weights import with_weights

LITE0 = ("efficientnet_lite0", 32)
FILE = {"file": "own"}


@pytest.fixture(scope="module")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A network of five classes, and the file that a run would save."""
    keras.utils.set_random_seed(7)
    model = build_network(*LITE0, 5, head={"dense": [16]})
    path = tmp_path_factory.mktemp("run") / "model.keras"
    model.save(path)
    return path, model


def started(keras: Any, path: Path, *args: Any, **more: Any) -> Any:
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    return build_network(*args, weights=FILE, weights_file=str(path), **more)


def agreeing(model: Any, other: Any) -> set[str]:
    """The layers with weights that both have, to the bit."""
    names = {layer.name for layer in other.layers}
    return {
        layer.name
        for layer in model.layers
        if layer.weights
        and layer.name in names
        and all(map(np.array_equal, layer.get_weights(), other.get_layer(layer.name).get_weights()))
    }


def with_layers(model: Any) -> set[str]:
    return {layer.name for layer in model.layers if layer.weights}


def test_every_layer_starts_from_the_one_of_its_name(keras: Any, saved: tuple[Path, Any]) -> None:
    path, other = saved
    model = started(keras, path, *LITE0, 5, head={"dense": [16]}, freeze={"before": "stage7"})
    assert agreeing(model, other) == with_layers(other)
    assert not model.get_layer("stem_conv").trainable


def test_a_head_of_another_size_starts_anew_and_the_log_says_so(
    keras: Any, saved: tuple[Path, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path, other = saved
    with caplog.at_level(logging.INFO):
        model = started(keras, path, *LITE0, 7, head={"dense": [16]})
    assert with_layers(other) - agreeing(model, other) == {"logits"}
    assert "starts anew" in caplog.text and "logits: [(16, 7), (7,)] here, [(16, 5), (5,)] there" in caplog.text


def test_what_replaces_a_stage_starts_anew_unless_the_file_has_it(
    keras: Any, saved: tuple[Path, Any], tmp_path: Path
) -> None:
    path, other = saved
    replaced = {"stage": "stage7", "blocks": 1, "filters": 8, "stride": 1, "momentum": 0.9}
    first = started(keras, path, *LITE0, 5, replace_from=replaced)
    kept = {name for name in with_layers(first) if not name.startswith(("new_", "logits"))}
    assert agreeing(first, other) == kept and any(name.startswith("stage6") for name in kept)
    first.save(tmp_path / "first.keras")
    second = started(keras, tmp_path / "first.keras", *LITE0, 5, replace_from=replaced)
    assert agreeing(second, first) == with_layers(first)


def test_small_networks_start_from_files_too(keras: Any, tmp_path: Path) -> None:
    keras.utils.clear_session()
    other = build_network("simcnn", 32, 10)
    other.save(tmp_path / "model.keras")
    model = started(keras, tmp_path / "model.keras", "simcnn", 32, 4)
    assert with_layers(other) - agreeing(model, other) == {"logits"}


def test_a_file_in_the_layout_of_keras_applications_is_read_by_layer(keras: Any, tmp_path: Path) -> None:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    with h5py.File(tmp_path / "own.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    model = started(keras, tmp_path / "own.h5", "vgg16", 32, 3)
    assert agreeing(model, network) == with_layers(network)


def test_layers_that_do_not_fit_are_listed(keras: Any, saved: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = saved
    with pytest.raises(UserError) as error:
        started(keras, path, "simcnn", 32, 5)
    lines = str(error.value).splitlines()
    assert lines[0].startswith(f"{path}: weights of another network; 7 layers differ:")
    assert lines[1] == "  conv2d: [(3, 3, 3, 32), (32,)] here, none there"
    build_network("wide_resnet", 32, 5, options={"depth": 10, "width": 1}).save(tmp_path / "narrow.keras")
    with pytest.raises(UserError, match=r"and [0-9]+ more"):
        started(keras, tmp_path / "narrow.keras", "wide_resnet", 32, 5, options={"depth": 16, "width": 2})


@pytest.mark.parametrize("name", ["x.keras", "x.h5", "x"])
@pytest.mark.parametrize("content", [b"", b"PK no zip", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_none_of_weights_is_refused(keras: Any, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: not a Keras model"):
        started(keras, tmp_path / name, "simcnn", 32, 5)


def test_code_in_a_file_does_not_run(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Lambda(lambda x: x * 2, output_shape=(32, 32, 3))(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "code.keras")
    with pytest.raises(UserError, match=r"code\.keras: not a Keras model"):
        started(keras, tmp_path / "code.keras", "simcnn", 32, 5)


def test_a_run_is_verified_before_its_weights_are_used(saved: tuple[Path, Any]) -> None:
    path, _ = saved
    sums = path.with_name("SHA256SUMS")
    (path.with_name("history.csv")).write_text("epoch")
    record_sums(sums, [path, path.with_name("history.csv")])
    assert with_weights({"weights": {"run": "first"}}, sums)["weights_file"] == str(path)
    assert with_weights({"weights": {"file": "own.keras"}}, "own.keras")["weights_file"] == "own.keras"
    with sums.open("a") as file:
        file.write("0" * 64 + "  model.keras\n")
    with pytest.raises(UserError):
        with_weights({"weights": {"run": "first"}}, sums)
