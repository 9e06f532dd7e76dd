"""First layers that are set by training images, against the definition of whitening."""

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_images

from graft.arrays import Data
from graft.errors import UserError
from graft.finetune import build_network
from graft.whitening import FLOOR, whiten, whitening_filters


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Pieces of two photographs, uint8 (200, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    places = [(photos[k % 2], *rng.integers((0, 0), (395, 608))) for k in range(200)]
    return np.stack([photo[top : top + 32, left : left + 32] for photo, top, left in places])


def patches(images: np.ndarray, side: int) -> np.ndarray:
    return (
        sliding_window_view(images, (side, side), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3).reshape(-1, side * side * 3)
    )


def test_patches_come_out_uncorrelated_and_of_equal_variance(
    crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.whitening.FLOOR", 0)
    images = crops.astype(np.float32) / 255
    filters = whitening_filters(images, 2, 24).reshape(12, 24)
    seen = patches(images, 2).astype(np.float64) @ filters
    np.testing.assert_allclose(np.cov(seen[:, :12], rowvar=False), np.eye(12), atol=1e-2)
    np.testing.assert_array_equal(filters[:, 12:], -filters[:, :12])


def test_directions_without_variance_stay_small(crops: np.ndarray) -> None:
    """Of grey images, eight of twelve directions are empty."""
    grey = np.repeat(crops[..., :1], 3, axis=3).astype(np.float32) / 255
    mean = np.linalg.eigvalsh(np.cov(patches(grey, 2), rowvar=False)).mean()
    assert np.abs(whitening_filters(grey, 2, 24)).max() <= 1.01 / np.sqrt(FLOOR * mean)


@pytest.mark.parametrize(("filters", "set_"), [(8, 8), (9, 8), (64, 54)])
def test_a_layer_takes_pairs_as_far_as_there_are_directions(
    keras: Any, crops: np.ndarray, filters: int, set_: int
) -> None:
    """A patch of 3x3 has 27 directions; those that vary most come first."""
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    layer = keras.layers.Conv2D(filters, 3, bias_initializer="ones", name="first")
    model = keras.Model(inputs, layer(keras.layers.Rescaling(1 / 255)(inputs)))
    before = np.array(layer.get_weights()[0])
    whiten(model, crops, np.arange(100))
    kernel, bias = layer.get_weights()
    assert not bias.any()
    np.testing.assert_array_equal(kernel[..., set_:], before[..., set_:])
    np.testing.assert_allclose(
        kernel[..., :set_], whitening_filters(crops[:100].astype(np.float32) / 255, 3, filters), rtol=1e-3, atol=1e-3
    )


def test_a_run_starts_from_its_training_images_alone(keras: Any, crops: np.ndarray) -> None:
    from graft.runs import train_run

    rows = {"train": np.arange(100), "validation": np.arange(100, 150), "test": np.arange(150, 200)}
    data = Data([crops], np.arange(200) % 4, np.arange(200).astype(str), rows, list("abcd"))
    train = {"epochs": 1, "batch_size": 100, "optimizer": {"name": "sgd"}, "learning_rate": 1e-9, "whiten": True}
    spec = {"architecture": "fast_cifar", "image_size": 32, "options": {"width": 0.1}, "weights": "none"}
    spec |= {"train": train | {"schedule": {"name": "constant"}}}
    (kernel, _) = train_run(spec, data, 0).model.get_layer("first").get_weights()
    expected = whitening_filters(crops[:100].astype(np.float32) / 127.5 - 1, 2, 24)
    np.testing.assert_allclose(kernel, expected, rtol=1e-3, atol=1e-4)


def test_a_network_without_a_convolution_is_refused(keras: Any, crops: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"^train\.whiten: the network does not begin with a convolution"):
        whiten(build_network("mnist_mlp", 32, 10), crops, np.arange(10))
