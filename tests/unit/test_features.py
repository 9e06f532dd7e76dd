from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graft.arrays import Data
from graft.features import save_activations, split_network
from graft.finetune import build_network


@pytest.fixture(scope="module")
def images(digits: Callable[[int, int], Data]) -> np.ndarray:
    found: np.ndarray = digits(32, 10).inputs[0]
    return found


def lite0(freeze: Any, **more: Any) -> Any:
    return build_network("efficientnet_lite0", 32, 5, weights="imagenet", freeze=freeze, **more)


@pytest.mark.parametrize(
    ("freeze", "outputs"),
    [
        ("all", ["head_pooling"]),
        ({"before": "stage6"}, ["stage5_block3_add"]),
        ({"before": "stage6_block2"}, ["stage6_block1_project_bn"]),
        ({"before": "stage6_block2_depthwise"}, ["stage6_block1_project_bn", "stage6_block2_expand_relu6"]),
    ],
    ids=["all", "stage", "block", "inside a block"],
)
def test_both_parts_together_are_the_model(keras: Any, images: np.ndarray, freeze: Any, outputs: list[str]) -> None:
    model = lite0(freeze)
    prefix, suffix = split_network(model)
    names = {id(layer.output): layer.name for layer in model.layers}
    assert sorted(names[id(output)] for output in prefix.outputs) == outputs
    whole = keras.ops.convert_to_numpy(model(images))
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(suffix(prefix(images))), whole, atol=1e-5)


def test_the_prefix_trains_nothing_and_the_suffix_the_rest(keras: Any) -> None:
    model = lite0({"before": "stage7"})
    prefix, suffix = split_network(model)
    assert prefix.trainable_weights == []
    assert [id(weight) for weight in suffix.trainable_weights] == [id(weight) for weight in model.trainable_weights]
    assert prefix.count_params() + suffix.count_params() == model.count_params()


def test_frozen_batch_norm_behind_the_cut_does_not_move_it(keras: Any) -> None:
    shapes = [
        [output.shape for output in split_network(lite0({"before": "stage6"}, freeze_batch_norm=frozen))[0].outputs]
        for frozen in (False, True)
    ]
    assert shapes == [[(None, 2, 2, 112)]] * 2


def layered(keras: Any, *layers: Any) -> Any:
    inputs = x = keras.Input((4,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_random_layer_is_not_cached(keras: Any) -> None:
    dense = keras.layers.Dense(3, trainable=False, name="frozen")
    model = layered(keras, dense, keras.layers.Dropout(0.5), keras.layers.ReLU(), keras.layers.Dense(2, name="top"))
    prefix, suffix = split_network(model)
    assert [layer.name for layer in prefix.layers if layer.weights] == ["frozen"]
    assert any(isinstance(layer, keras.layers.Dropout) for layer in suffix.layers)
    assert prefix.output_shape == (None, 3)


@pytest.mark.parametrize("scaled", [True, False], ids=["weights and statistics", "statistics alone"])
def test_a_batch_norm_that_learns_is_not_cached(keras: Any, scaled: bool) -> None:
    frozen = keras.layers.BatchNormalization(trainable=False, name="frozen")
    learning = keras.layers.BatchNormalization(center=scaled, scale=scaled, name="learning")
    prefix, suffix = split_network(layered(keras, frozen, learning, keras.layers.Dense(2)))
    assert [layer.name for layer in prefix.layers if layer.weights] == ["frozen"]
    assert "learning" in [layer.name for layer in suffix.layers]


def test_a_model_with_nothing_frozen_has_nothing_to_cache(keras: Any) -> None:
    with pytest.raises(ValueError, match="no frozen layer has weights"):
        split_network(layered(keras, keras.layers.ReLU(), keras.layers.Dense(2)))


def test_activations_are_plain_files_of_what_the_prefix_says(keras: Any, images: np.ndarray, tmp_path: Path) -> None:
    prefix, _ = split_network(lite0({"before": "stage6_block2_depthwise"}))
    paths = save_activations(prefix, images, tmp_path, batch_size=4)
    assert [path.name for path in paths] == ["activations0.npy", "activations1.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["activations0.npy", "activations1.npy"]
    for path, output in zip(paths, prefix(images), strict=True):
        saved = np.load(path, mmap_mode="r", allow_pickle=False)
        assert (saved.dtype, len(saved)) == (np.float32, len(images))
        np.testing.assert_allclose(saved, keras.ops.convert_to_numpy(output), rtol=1e-4, atol=1e-4)


def test_activations_may_be_half_as_large(keras: Any, images: np.ndarray, tmp_path: Path) -> None:
    prefix, _ = split_network(lite0("all"))
    (half,) = save_activations(prefix, images, tmp_path / "half", dtype="float16")
    (full,) = save_activations(prefix, images, tmp_path / "full")
    saved = np.load(half)
    assert saved.dtype == np.float16
    np.testing.assert_allclose(saved, np.load(full), rtol=1e-3, atol=1e-3)


def test_activations_that_the_disk_has_no_room_for_are_not_begun(
    keras: Any, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, _ = split_network(lite0("all"))
    need = 4 * 10 * 1280
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=need))
    (path,) = save_activations(prefix, images, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["not_stored.txt"] == [path.name]
    assert (
        "activations need 0.0 GiB and the disk has 0.0 GiB free, so they are computed in every epoch"
        in path.read_text()
    )
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2 * need))
    (path,) = save_activations(prefix, images, tmp_path)
    assert path.name == "activations0.npy"


def test_activations_may_be_of_some_images_alone(keras: Any, images: np.ndarray, tmp_path: Path) -> None:
    prefix, _ = split_network(lite0("all"))
    (some,) = save_activations(prefix, images, tmp_path / "some", batch_size=2, rows=np.array([1, 4, 8]))
    (full,) = save_activations(prefix, images, tmp_path / "full")
    expected = np.zeros((10, 1280), np.float32)
    expected[[1, 4, 8]] = np.load(full)[[1, 4, 8]]
    np.testing.assert_allclose(np.load(some), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [None, np.array([1, 4, 8])], ids=["all", "some"])
def test_views_of_augmented_images_stand_behind_the_images(
    keras: Any, images: np.ndarray, tmp_path: Path, rows: np.ndarray | None
) -> None:
    prefix, _ = split_network(lite0("all"))
    (path,) = save_activations(prefix, images, tmp_path, rows=rows, views=2, options={"flip": "alternate"})
    plain, *views = np.split(np.load(path), 3)
    chosen = np.arange(10) if rows is None else rows
    seen = {
        flipped: keras.ops.convert_to_numpy(prefix(images[:, :, ::-1] if flipped else images))
        for flipped in (False, True)
    }
    np.testing.assert_allclose(plain[chosen], seen[False][chosen], rtol=1e-4, atol=1e-4)
    mirrored = [[bool(np.allclose(view[k], seen[True][k], rtol=1e-4, atol=1e-4)) for k in chosen] for view in views]
    assert mirrored[0] == [not other for other in mirrored[1]]  # alternate: in one view, or in the other
    for view, flipped in zip(views, mirrored, strict=True):
        expected = np.array([seen[flip][k] for k, flip in zip(chosen, flipped, strict=True)])
        np.testing.assert_allclose(view[chosen], expected, rtol=1e-4, atol=1e-4)
        assert not np.delete(view, chosen, axis=0).any()


def test_long_work_tells_how_far_it_is(
    keras: Any, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("graft.features.LINE_EVERY", 1e-9)
    prefix, _ = split_network(lite0("all"))
    with caplog.at_level("INFO", logger="graft.features"):
        save_activations(prefix, images, tmp_path, batch_size=5)
    assert any(line.startswith("frozen part: 50% of 2 batches, ") for line in caplog.messages)


def test_one_output_is_one_file(keras: Any, images: np.ndarray, tmp_path: Path) -> None:
    prefix, _ = split_network(lite0("all"))
    (path,) = save_activations(prefix, images, tmp_path)
    assert np.load(path).shape == (len(images), 1280)


def test_an_interrupted_pass_leaves_no_file(keras: Any, images: np.ndarray, tmp_path: Path) -> None:
    prefix, _ = split_network(lite0("all"))

    class Cut:
        outputs = prefix.outputs

        def predict_on_batch(self, batch: np.ndarray) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_activations(Cut(), images, tmp_path)
    assert list(tmp_path.iterdir()) == []
