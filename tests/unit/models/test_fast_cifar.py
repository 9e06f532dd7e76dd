"""The network that starts from its training images, against the paper's numbers and the definition of whitening."""

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_images

from graft.arrays import Data
from graft.finetune import build_network
from graft.models.fast_cifar import whitening_kernel


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Pieces of two photographs, uint8 (200, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    places = [(photos[k % 2], *rng.integers((0, 0), (395, 608))) for k in range(200)]
    return np.stack([photo[top : top + 32, left : left + 32] for photo, top, left in places])


@pytest.mark.parametrize(
    ("width", "stages"), [(1.0, (64, 256, 256)), (0.25, (16, 64, 64))], ids=["whole width", "a quarter of it"]
)
def test_it_has_the_parameters_of_the_paper(keras: Any, width: float, stages: tuple[int, int, int]) -> None:
    """Layers added up by hand; at the whole width the paper's 1.97 million."""
    one, two, three = stages
    convolutions = 9 * (24 * one + one * one + one * two + two * two + two * three + three * three)
    parameters = 2 * 2 * 3 * 24 + convolutions + 2 * sum(stages) + 10 * three
    assert width < 1 or round(parameters / 1e6, 2) == 1.97
    model = build_network("fast_cifar", 32, 10, options={"width": width})
    moving = sum(layer.moving_mean.shape[0] * 2 for layer in model.layers if "batch_norm" in layer.name)
    assert model.count_params() - moving == parameters


def test_patches_come_out_uncorrelated_and_of_equal_variance(crops: np.ndarray) -> None:
    images = crops.astype(np.float32) / 127.5 - 1
    kernel = whitening_kernel(images, floor=0.0).reshape(12, 24)
    patches = sliding_window_view(images, (2, 2), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)
    seen = patches.astype(np.float64) @ kernel
    np.testing.assert_allclose(np.cov(seen[:, :12], rowvar=False), np.eye(12), atol=1e-2)
    np.testing.assert_array_equal(kernel[:, 12:], -kernel[:, :12])


def test_a_floor_keeps_directions_without_variance_small(crops: np.ndarray) -> None:
    grey = np.repeat(crops[..., :1], 3, axis=3).astype(np.float32) / 127.5 - 1  # eight of twelve directions are empty
    assert np.abs(whitening_kernel(grey)).max() <= 1 / np.sqrt(5e-4)


def test_a_run_starts_from_its_training_images_alone_and_keeps_that_layer(keras: Any, crops: np.ndarray) -> None:
    from graft.runs import train_run

    rows = {"train": np.arange(100), "validation": np.arange(100, 150), "test": np.arange(150, 200)}
    data = Data([crops], np.arange(200) % 4, np.arange(200).astype(str), rows, list("abcd"))
    train = {"epochs": 1, "batch_size": 25, "optimizer": {"name": "sgd"}, "learning_rate": 0.01}
    spec = {"architecture": "fast_cifar", "image_size": 32, "options": {"width": 0.1}, "weights": "none"}
    spec |= {"train": train | {"schedule": {"name": "constant"}}}
    model = train_run(spec, data, 0).model
    (kernel,) = model.get_layer("whitening").get_weights()
    np.testing.assert_allclose(kernel, whitening_kernel(crops[:100].astype(np.float32) / 127.5 - 1), rtol=1e-5)


def test_convolutions_pass_their_inputs_on_at_first(keras: Any) -> None:
    model = build_network("fast_cifar", 32, 10, options={"width": 0.5})
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.name.startswith("conv2d")]
    assert len(kernels) == 6
    for kernel in kernels:
        first = kernel[..., : kernel.shape[2]]
        np.testing.assert_array_equal(first[1, 1], np.eye(kernel.shape[2], kernel.shape[3])[:, : first.shape[3]])
        assert np.abs(first).sum() == first.shape[3]
