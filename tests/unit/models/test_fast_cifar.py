"""The network for fast training on small images, against the paper's numbers."""

from typing import Any

import numpy as np
import pytest

from graft.finetune import build_network


@pytest.mark.parametrize(
    ("width", "stages"), [(1.0, (64, 256, 256)), (0.25, (16, 64, 64))], ids=["whole width", "a quarter of it"]
)
def test_it_has_the_parameters_of_the_paper(keras: Any, width: float, stages: tuple[int, int, int]) -> None:
    """Layers added up by hand; at the whole width the paper's 1.97 million."""
    one, two, three = stages
    convolutions = 9 * (24 * one + one * one + one * two + two * two + two * three + three * three)
    parameters = (2 * 2 * 3 + 1) * 24 + convolutions + 2 * sum(stages) + 10 * three
    assert width < 1 or round(parameters / 1e6, 2) == 1.97
    model = build_network("fast_cifar", 32, 10, options={"width": width})
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters


def test_convolutions_pass_their_inputs_on_at_first(keras: Any) -> None:
    model = build_network("fast_cifar", 32, 10, options={"width": 0.5})
    kernels = [layer.get_weights()[0] for layer in model.layers if layer.name.startswith("conv2d")]
    assert len(kernels) == 6
    for kernel in kernels:
        first = kernel[..., : kernel.shape[2]]
        np.testing.assert_array_equal(first[1, 1], np.eye(kernel.shape[2], kernel.shape[3])[:, : first.shape[3]])
        assert np.abs(first).sum() == first.shape[3]
