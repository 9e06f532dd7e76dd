"""The networks of published reports and papers that start from random weights, against what is published of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from graft.errors import UserError
from graft.finetune import build_network
from graft.images import resize
from graft.registry import parts

SMALLEST = {
    "all_cnn": 27,
    "all_cnn_c": 9,
    "calik_demirci": 24,
    "dcnn_glorot": 8,
    "machinecurve_cnn": 22,
    "toy_resnet_100": 13,
}
ANY_SIZE = ["mnist_mlp", "resnet18_cifar", "wide_resnet"]
NETWORKS = sorted([*SMALLEST, *ANY_SIZE])
GREY = ["dcnn_glorot", "mnist_mlp"]
OPTIONS = {name: list(part.function.__kwdefaults__ or {}) for name, part in parts("graft.models").items()}


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def makers_of(model: Any) -> dict[int, Any]:
    """The layer that makes each tensor, by the tensor's identity."""
    return {id(layer.output): layer for layer in model.layers}


def describe(layer: Any) -> str:
    """A layer in the words of a paper's table; empty for layers without options that matter."""
    match type(layer).__name__:
        case "Rescaling":
            return f"scale {layer.scale:.4g} offset {layer.offset:g}"
        case "Conv2D":
            kernel, stride = layer.kernel_size[0], layer.strides[0]
            return f"conv {layer.filters} {kernel}x{kernel}/{stride} {layer.padding} {layer.activation.__name__}"
        case "MaxPooling2D":
            return f"pool {layer.pool_size[0]}/{layer.strides[0]}"
        case "Dense":
            return f"dense {layer.units} {layer.activation.__name__}"
        case "Dropout":
            return f"drop {layer.rate:g}"
        case "BatchNormalization":
            return "norm"
        case "ReLU" | "Flatten" | "GlobalAveragePooling2D" | "Activation" as name:
            return name
    return ""


# -- parameters ----------------------------------------------------------------------------------------------------------


def convolution(kernel: int, before: int, after: int) -> int:
    return kernel * kernel * before * after + after


def dense(before: int, after: int) -> int:
    return before * after + after


@pytest.mark.parametrize(
    ("architecture", "pixels", "classes", "parameters"),
    [
        ("toy_resnet_100", 32, 100, 340_324),
        ("calik_demirci", 32, 10, 53_522),
        ("machinecurve_cnn", 32, 100, 270_372),
        ("all_cnn", 32, 10, 839_352),
        ("all_cnn", 32, 100, 866_712),
        ("all_cnn_c", 32, 10, 1_369_738),
        ("resnet18_cifar", 32, 10, 11_173_962),
    ],
)
def test_networks_have_the_published_trainable_parameters(
    keras: Any, architecture: str, pixels: int, classes: int, parameters: int
) -> None:
    assert trainable(build_network(architecture, pixels, classes)) == parameters


def test_mnist_mlp_has_the_parameters_of_its_listing(keras: Any) -> None:
    model = build_network("mnist_mlp", 28, 10)
    assert trainable(model) == dense(784, 50) + 3 * dense(50, 50) + dense(50, 10) + 4 * 2 * 50
    assert model.count_params() - trainable(model) == 4 * 2 * 50


def test_dcnn_glorot_has_the_parameters_of_its_listing(keras: Any) -> None:
    pairs = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 86), (86, 86)]
    hidden = dense(4 * 4 * 86, 1024) + dense(1024, 512) + dense(512, 15)  # 32 px, halved three times
    normalised = 2 * (32 + 32 + 64 + 64 + 86 + 86 + 1024 + 512)
    model = build_network("dcnn_glorot", 32, 15)
    assert trainable(model) == sum(convolution(3, *pair) for pair in pairs) + hidden + normalised
    assert model.count_params() - trainable(model) == normalised


@pytest.mark.parametrize(
    ("depth", "width", "millions", "exactly"),
    [
        (16, 4, 2.7, None),
        (16, 8, 11.0, None),
        (22, 8, 17.2, 17_158_106),
        (28, 10, 36.5, 36_479_194),
        (40, 2, 2.2, 2_243_546),
        (40, 4, 8.9, None),
    ],
)
def test_wide_resnets_have_the_parameters_of_the_paper(
    keras: Any, depth: int, width: int, millions: float, exactly: int | None
) -> None:
    """In millions as the paper has them; exactly where others have counted."""
    parameters = trainable(build_network("wide_resnet", 32, 10, options={"depth": depth, "width": width}))
    assert round(parameters / 1e6, 1) == millions
    assert exactly in (None, parameters)


# -- layers --------------------------------------------------------------------------------------------------------------

LISTED = {
    "dcnn_glorot": """
        scale 1 offset 0
        conv 32 3x3/1 same elu, norm, conv 32 3x3/1 same elu, norm, pool 2/2, drop 0.25
        conv 64 3x3/1 same elu, norm, conv 64 3x3/1 same elu, norm, pool 2/2, drop 0.25
        conv 86 3x3/1 same elu, norm, conv 86 3x3/1 same elu, norm, pool 2/2, drop 0.25
        Flatten, dense 1024 elu, norm, dense 512 elu, norm, dense 10 linear""",
    "mnist_mlp": """
        scale 1 offset 0, Flatten
        dense 50 linear, norm, ReLU, drop 0.2
        dense 50 linear, norm, ReLU, drop 0.2
        dense 50 linear, norm, ReLU, drop 0.2
        dense 50 linear, norm, ReLU, drop 0.2
        dense 10 linear""",
    "calik_demirci": """
        scale 0.003922 offset 0
        conv 3 9x9/1 valid relu, pool 2/2, conv 3 5x5/1 same relu, pool 2/2
        conv 3 5x5/1 same relu, pool 2/2, conv 3 5x5/1 same relu, pool 2/2
        Flatten, dense 384 relu, dense 128 relu, dense 10 linear""",
    "machinecurve_cnn": """
        scale 0.003922 offset 0
        conv 32 3x3/1 valid relu, pool 2/2, conv 64 3x3/1 valid relu, pool 2/2
        conv 128 3x3/1 valid relu, pool 2/2
        Flatten, dense 256 relu, dense 128 relu, drop 0.5, dense 10 linear""",
    "all_cnn": """
        scale 0.003922 offset 0, drop 0
        conv 96 5x5/1 valid relu, pool 3/2, drop 0.5
        conv 192 5x5/1 valid relu, pool 3/2, drop 0.5
        conv 192 3x3/1 valid relu, conv 192 1x1/1 valid relu, conv 10 1x1/1 valid relu
        GlobalAveragePooling2D, dense 10 linear""",
    "all_cnn_c": """
        scale 0.007843 offset -1, drop 0.2
        conv 96 3x3/1 same relu, conv 96 3x3/1 same relu, conv 96 3x3/2 same relu, drop 0.5
        conv 192 3x3/1 same relu, conv 192 3x3/1 same relu, conv 192 3x3/2 same relu, drop 0.5
        conv 192 3x3/1 valid relu, conv 192 1x1/1 same relu, conv 10 1x1/1 same relu
        GlobalAveragePooling2D, Activation""",
}


@pytest.mark.parametrize("architecture", sorted(LISTED))
def test_layers_are_those_listed(keras: Any, architecture: str) -> None:
    model = build_network(architecture, 32, 10)
    listed = LISTED[architecture].replace("\n", ",").split(",")
    assert [text for text in map(describe, model.layers) if text] == [text.strip() for text in listed if text.strip()]


def test_all_cnn_c_averages_over_6_by_6_as_in_the_paper(keras: Any) -> None:
    (pooling,) = layers_of(build_network("all_cnn_c", 32, 10), "GlobalAveragePooling2D")
    assert pooling.input.shape == (None, 6, 6, 10)


@pytest.mark.parametrize(
    ("architecture", "initialiser"),
    [
        ("dcnn_glorot", "GlorotUniform"),
        ("mnist_mlp", "HeNormal"),
        ("resnet18_cifar", "HeNormal"),
        ("wide_resnet", "HeNormal"),
    ],
)
def test_weights_start_as_published(keras: Any, architecture: str, initialiser: str) -> None:
    model = build_network(architecture, 32, 10)
    layers = [layer for layer in model.layers if hasattr(layer, "kernel_initializer") and layer.name != "logits"]
    assert {type(layer.kernel_initializer).__name__ for layer in layers} == {initialiser}


def test_third_pair_of_the_larger_toy_resnet_starts_again_from_the_second(keras: Any) -> None:
    model = build_network("toy_resnet_100", 32, 100)
    makers = makers_of(model)

    def start(pair_end: Any) -> Any:
        """What the first convolution of a pair reads."""
        return makers[id(makers[id(pair_end.input)].input)]

    last = next(layer for layer in layers_of(model, "Conv2D")[::-1] if layer.padding == "valid")
    third = makers[id(last.input)]
    third_end, second = (makers[id(tensor)] for tensor in third.input)
    second_end, first = (makers[id(tensor)] for tensor in second.input)
    first_end, pool = (makers[id(tensor)] for tensor in first.input)
    assert type(pool).__name__ == "MaxPooling2D"
    assert (start(first_end), start(second_end), start(third_end)) == (pool, first, first)


def test_resnet18_halves_thrice_and_projects_there(keras: Any) -> None:
    model = build_network("resnet18_cifar", 32, 10)
    shapes = [tuple(layer.output.shape[1:]) for layer in layers_of(model, "Add")]
    assert shapes == [
        (size, size, filters) for size, filters in ((32, 64), (16, 128), (8, 256), (4, 512)) for _ in "12"
    ]
    convolutions = layers_of(model, "Conv2D")
    assert [layer.filters for layer in convolutions if layer.kernel_size == (1, 1)] == [128, 256, 512]
    assert len(convolutions) - 3 + 1 == 18  # with the dense layer, without projections
    assert not any(layer.use_bias for layer in convolutions)


@pytest.mark.parametrize(("depth", "width"), [(16, 1), (16, 2), (40, 2)])
def test_wide_resnets_have_the_groups_of_the_paper(keras: Any, depth: int, width: int) -> None:
    model = build_network("wide_resnet", 32, 10, options={"depth": depth, "width": width})
    blocks = (depth - 4) // 6
    groups = [(32, 16 * width), (16, 32 * width), (8, 64 * width)]
    shapes = [tuple(layer.output.shape[1:]) for layer in layers_of(model, "Add")]
    assert shapes == [(size, size, filters) for size, filters in groups for _ in range(blocks)]
    projections = [layer.filters for layer in layers_of(model, "Conv2D") if layer.kernel_size == (1, 1)]
    assert projections == [filters for _, filters in groups if (width, filters) != (1, 16)]
    assert len(layers_of(model, "Conv2D")) - len(projections) == depth - 3  # of 3x3, the stem among them


@pytest.mark.parametrize(
    ("architecture", "before", "projected"), [("resnet18_cifar", "ReLU", 3), ("wide_resnet", "Add", 3)]
)
def test_shortcuts_are_what_the_block_before_gave(keras: Any, architecture: str, before: str, projected: int) -> None:
    """A pre-activated block adds to an unactivated sum; a projection, normalised or not, ends in another layer."""
    model = build_network(architecture, 32, 10)
    makers = makers_of(model)
    shortcuts = [type(makers[id(total.input[1])]).__name__ for total in layers_of(model, "Add")]
    assert shortcuts.count(before) == len(shortcuts) - projected


def test_wide_resnets_activate_before_each_convolution_of_a_block(keras: Any) -> None:
    model = build_network("wide_resnet", 32, 10, options={"width": 2, "dropout": 0.3})
    makers = makers_of(model)
    for layer in layers_of(model, "Conv2D")[1:]:
        seen = []
        while (layer := makers[id(layer.input)]) and type(layer).__name__ != "BatchNormalization":
            seen.append(type(layer).__name__)
        assert [name for name in seen if name != "ZeroPadding2D"] in (["ReLU"], ["Dropout", "ReLU"])


@pytest.mark.parametrize("architecture", ["resnet18_cifar", "wide_resnet"])
def test_branches_of_a_block_look_at_the_same_pixels(keras: Any, architecture: str) -> None:
    """Where a block halves, its 3x3 convolution is centred on the pixel that its 1x1 shortcut reads."""
    model = build_network(architecture, 32, 10)
    halving = [layer for layer in layers_of(model, "Conv2D") if layer.strides == (2, 2)]
    assert {layer.kernel_size[0] for layer in halving} == {1, 3}
    padded = {id(layer.output) for layer in layers_of(model, "ZeroPadding2D") if layer.padding == ((1, 1), (1, 1))}
    assert {layer.padding for layer in halving} == {"valid"}
    assert all((id(layer.input) in padded) == (layer.kernel_size == (3, 3)) for layer in halving)


# -- sizes and options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", NETWORKS)
def test_smallest_images_are_the_smallest_that_work(keras: Any, architecture: str) -> None:
    smallest = parts("graft.models")[architecture].facts.get("smallest", 1)
    assert smallest == SMALLEST.get(architecture, 1)
    assert build_network(architecture, smallest, 10).output_shape == (None, 10)
    if architecture in SMALLEST:
        with pytest.raises(UserError, match=rf"^{architecture} cannot be built for {smallest - 1} px images: [^\n]+$"):
            build_network(architecture, smallest - 1, 10)


@pytest.mark.parametrize(
    ("architecture", "options", "rates"),
    [
        ("dcnn_glorot", {"dropout": 0.1}, [0.1] * 3),
        ("mnist_mlp", {"dropout": 0.1}, [0.1] * 4),
        ("toy_resnet_100", {"dropout": 0.1}, [0.1]),
        ("machinecurve_cnn", {"dropout": 0.0}, [0.0]),
        ("all_cnn", {"input_dropout": 0.2, "dropout": 0.0}, [0.2, 0.0, 0.0]),
        ("all_cnn_c", {"input_dropout": 0.1, "dropout": 0.3}, [0.1, 0.3, 0.3]),
        ("wide_resnet", {"width": 1, "dropout": 0.3}, [0.3] * 6),
    ],
)
def test_dropout_rates_reach_the_network(
    keras: Any, architecture: str, options: dict[str, float], rates: list[float]
) -> None:
    layers = layers_of(build_network(architecture, 32, 10, options=options), "Dropout")
    assert [layer.rate for layer in layers] == rates


def test_filters_reach_the_network(keras: Any) -> None:
    model = build_network("calik_demirci", 32, 10, options={"filters": 5})
    assert [layer.filters for layer in layers_of(model, "Conv2D")] == [5] * 4


@pytest.mark.parametrize("architecture", ["all_cnn_c", "resnet18_cifar", "wide_resnet"])
def test_weight_decay_is_the_gradient_per_weight(keras: Any, architecture: str) -> None:
    """Half the sum of squares times the decay has the gradient of weight decay: decay times weight."""
    assert build_network(architecture, 32, 10).losses == []
    model = build_network(architecture, 32, 10, options={"weight_decay": 0.01})
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    squares = sum(float(np.square(keras.ops.convert_to_numpy(kernel)).sum()) for kernel in kernels)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(0.01 / 2 * squares, rel=1e-4)


@pytest.mark.parametrize(("options", "expected"), [({}, 1e-4), ({"activity_penalty": 0.5}, 0.5)])
def test_activity_penalty_is_on_the_end_of_each_pair(keras: Any, options: dict[str, float], expected: float) -> None:
    model = build_network("toy_resnet_100", 32, 10, options=options)
    makers = makers_of(model)
    ends = {makers[id(total.input[0])] for total in layers_of(model, "Add")}
    penalised = {layer for layer in layers_of(model, "Conv2D") if layer.activity_regularizer}
    assert penalised == ends
    assert [float(layer.activity_regularizer.l2) for layer in ends] == [pytest.approx(expected)] * 3


@pytest.mark.parametrize(
    ("architecture", "options", "complaint"),
    [
        ("wide_resnet", {"depth": 17}, "depth: 17 is not allowed; allowed: 16, 22, 28, 40"),
        ("wide_resnet", {"width": 0}, "width: "),
        ("wide_resnet", {"dropout": 1.0}, "dropout: "),
        ("resnet18_cifar", {"weight_decay": -1.0}, "weight_decay: "),
        ("calik_demirci", {"filters": 0}, "filters: "),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(
    study: dict[str, Any],
    complaints: Callable[[Any], list[str]],
    architecture: str,
    options: dict[str, Any],
    complaint: str,
) -> None:
    study["models"]["small"] |= {"architecture": architecture, "options": options}
    (line,) = (line for line in complaints(study) if "options" in line)
    assert line.startswith(f"models.small.options.{complaint}")


# -- images --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zero_to_nine() -> tuple[np.ndarray, np.ndarray]:
    """Ten real digits, one of each: uint8 (10, 32, 32, 3), and their labels."""
    published = load_digits()
    grey = np.round(published.images[:10] * (255 / 16)).astype(np.uint8)
    images = np.stack([resize(Image.fromarray(image).convert("RGB"), 32) for image in grey])
    return images, published.target[:10]


@pytest.fixture
def network(keras: Any) -> Iterator[Callable[..., Any]]:
    """Builds an architecture without dropout, from the same weights every time."""

    def build(architecture: str) -> Any:
        keras.utils.set_random_seed(1)
        rates = dict.fromkeys((name for name in OPTIONS[architecture] if "dropout" in name), 0.0)
        return build_network(architecture, 32, 10, options=rates)

    yield build
    keras.backend.clear_session()


@pytest.mark.parametrize("architecture", NETWORKS)
def test_each_digit_has_logits_of_its_own(
    network: Callable[..., Any], zero_to_nine: tuple[np.ndarray, np.ndarray], architecture: str
) -> None:
    logits = np.asarray(network(architecture)(zero_to_nine[0], training=False))
    assert logits.shape == (10, 10)
    assert np.isfinite(logits).all()
    assert len(np.unique(logits, axis=0)) == 10


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_gradient_step_lowers_the_loss(
    keras: Any, network: Callable[..., Any], zero_to_nine: tuple[np.ndarray, np.ndarray], architecture: str
) -> None:
    model = network(architecture)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss=loss, run_eagerly=True)
    before, after = (model.train_on_batch(*zero_to_nine) for _ in range(2))
    assert after < before


@pytest.mark.parametrize("architecture", NETWORKS)
def test_only_networks_of_grey_images_average_the_colours(
    network: Callable[..., Any], zero_to_nine: tuple[np.ndarray, np.ndarray], architecture: str
) -> None:
    model, red = network(architecture), zero_to_nine[0][:1] * np.uint8([1, 0, 0])
    first, second = (np.asarray(model(image, training=False)) for image in (red, red[..., ::-1].copy()))
    assert np.allclose(first, second, rtol=1e-4) == (architecture in GREY)


@pytest.mark.parametrize("architecture", ["all_cnn_c", "mnist_mlp", "toy_resnet_100"])
def test_a_saved_network_needs_nothing_beside_it(
    keras: Any,
    network: Callable[..., Any],
    zero_to_nine: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    architecture: str,
) -> None:
    model = network(architecture)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = zero_to_nine[0]
    assert np.array_equal(np.asarray(loaded(images, training=False)), np.asarray(model(images, training=False)))
