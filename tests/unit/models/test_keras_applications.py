"""The networks of keras.applications as backbones, and the files that their weights come in."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from graft.errors import UserError
from graft.finetune import build_network
from graft.registry import Part, parts
from graft.sources.download import Downloads
from graft.sources.remote import Remote
from graft.weights import Weights, load_file, with_weights

MODULE = "graft.models.keras_applications"
APPLICATIONS = {name: part for name, part in parts("graft.models").items() if part.module == MODULE}


def trainable(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def without_top(model: Any) -> Any:
    import keras

    return keras.Model(model.input, model.get_layer("head_pooling").input)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.stack([image[100:164, 200:264] for image in load_sample_images().images])


def test_every_network_of_keras_applications_is_there(keras: Any) -> None:
    theirs = {name.lower() for name in dir(keras.applications) if name[0].isupper()}
    assert APPLICATIONS.keys() == theirs
    assert len(theirs) == 40


# keras.io/api/applications and, for ResNet50, the summaries in published reports.
@pytest.mark.parametrize(
    ("architecture", "total", "can_train"),
    [
        ("resnet50", 23_587_712, 23_534_592),
        ("vgg16", 14_714_688, 14_714_688),
        ("mobilenetv2", 2_257_984, 2_223_872),
        ("densenet121", 7_037_504, 6_953_856),
        ("efficientnetb0", 4_049_571, 4_007_548),
    ],
)
def test_parameters_without_top_are_the_published_ones(
    keras: Any, architecture: str, total: int, can_train: int
) -> None:
    backbone = without_top(build_network(architecture, 32, 10))
    assert (backbone.count_params(), trainable(backbone)) == (total, can_train)


def test_a_head_as_reports_put_on_resnet50_has_their_count(keras: Any) -> None:
    # Flatten of 1 x 1 x 2048, a dense layer of 1,024, dropout, and 1,000 classes.
    head = {"pooling": "flatten", "dense": [1024], "dropout": 0.5}
    assert build_network("resnet50", 32, 1000, head=head).count_params() == 26_710_888


@pytest.mark.parametrize(
    ("architecture", "module"),
    [("resnet50", "resnet"), ("resnet50v2", "resnet_v2"), ("densenet121", "densenet"), ("vgg16", "vgg16")],
)
def test_preprocessing_is_that_of_keras(keras: Any, photos: np.ndarray, architecture: str, module: str) -> None:
    model = build_network(architecture, 64, 10)
    ours = keras.Model(model.input, model.get_layer("preprocessing").output)(photos)
    theirs = getattr(keras.applications, module).preprocess_input(photos.astype("float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), theirs, atol=2e-4)


def test_efficientnets_preprocessing_normalises_by_mean_and_spread(keras: Any, photos: np.ndarray) -> None:
    """The published file sets the network's own normalisation to ImageNet's mean and, as the variance, its spread."""
    model = build_network("efficientnetb0", 64, 10)
    mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    (normalization,) = (layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([mean, spread, np.array(0)])
    normalization.finalize_state()
    ours = keras.Model(model.input, normalization.output)(photos)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours), (photos / 255 - mean) / spread, atol=1e-4)


def test_a_saved_model_takes_bytes_and_loads_safely(keras: Any, photos: np.ndarray, tmp_path: Path) -> None:
    model = build_network("resnet50", 64, 3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again.predict_on_batch(photos), model.predict_on_batch(photos))


@pytest.mark.parametrize("freeze", ["conv5", "conv5_block3"])
def test_freezing_before_a_stage_leaves_that_stage_and_what_follows(keras: Any, freeze: str) -> None:
    model = build_network("resnet50", 32, 10, freeze={"before": freeze})
    names = [layer.name for layer in model.layers if layer.weights]
    first = next(k for k, name in enumerate(names) if name.startswith(freeze))
    assert not any(model.get_layer(name).trainable for name in names[:first])
    assert all(model.get_layer(name).trainable for name in names[first:])


@pytest.mark.parametrize("architecture", ["resnet50", "resnet50v2", "vgg16", "vgg19"])
def test_every_stage_that_a_study_may_name_is_one(keras: Any, architecture: str) -> None:
    names = [layer.name for layer in build_network(architecture, 32, 10).layers]
    stages = APPLICATIONS[architecture].facts["stages"]
    assert all(any(name.startswith(f"{stage}_") for name in names) for stage in stages)


def test_a_layer_that_does_not_exist_is_named_with_those_that_do(keras: Any) -> None:
    with pytest.raises(UserError, match=r"'mixed' is neither a layer nor a stage; layers: .*block_16_project"):
        build_network("mobilenetv2", 32, 10, freeze={"before": "mixed"})


# -- files of weights ----------------------------------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder ``served``."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def published(keras: Any, name: str, folder: Path) -> tuple[Path, Any]:
    """A file in the layout that keras.applications publishes, of random weights, and the network that has them."""
    network = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(64, 64, 3))
    path = folder / f"{name.lower()}_notop.h5"
    network.save_weights(path.with_suffix(".weights.h5"))
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path, network


def test_imagenet_weights_come_from_a_mirror_and_are_those_of_the_file(
    keras: Any, address: str, photos: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, network = published(keras, "ResNet50", tmp_path / "served")
    remote = Remote(path.name, ("http://127.0.0.1:9/nowhere",), md5=hashlib.md5(path.read_bytes()).hexdigest())
    fetched = Downloads(tmp_path / "data/raw", [address], lambda line: None).get(remote)
    facts = dict(APPLICATIONS["resnet50"].facts) | {"weights": {"imagenet": Weights(load_file, remote)}}
    part = APPLICATIONS["resnet50"]
    changed = Part(part.name, part.module, part.function, facts)
    monkeypatch.setattr("graft.finetune.parts", lambda package: {"resnet50": changed})
    model = build_network("resnet50", 64, 3, weights="imagenet", weights_file=str(fetched))
    theirs = network(keras.applications.resnet.preprocess_input(photos.astype("float32")))
    ours = without_top(model)(photos)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs), rtol=1e-3, atol=1e-4
    )


def test_a_file_with_another_digest_is_passed_over(address: str, tmp_path: Path) -> None:
    (tmp_path / "served/x.h5").write_bytes(b"other weights")
    remote = Remote("x.h5", md5="0" * 32)
    with pytest.raises(UserError, match=f"MD5 {'0' * 32}") as error:
        Downloads(tmp_path / "data/raw", [address], lambda line: None).get(remote)
    assert f"its MD5 is {hashlib.md5(b'other weights').hexdigest()}" in str(error.value)


def test_a_missing_file_says_what_to_put_where(tmp_path: Path) -> None:
    remote = APPLICATIONS["resnet50"].facts["weights"]["imagenet"].file
    offline = remote._replace(addresses=("http://127.0.0.1:9/nowhere.h5",))
    with pytest.raises(UserError) as error:
        Downloads(tmp_path / "data/raw", [], lambda line: None).get(offline)
    for words in (
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
        "put it at",
    ):
        assert words in str(error.value)


def test_weights_of_another_network_are_refused_by_layer(keras: Any, tmp_path: Path) -> None:
    path, _ = published(keras, "ResNet50", tmp_path)
    with pytest.raises(UserError, match="layers with weights; the network has"):
        load_file(without_top(build_network("vgg16", 32, 10)), path)
    other, _ = published(keras, "ResNet50V2", tmp_path)
    with pytest.raises(UserError, match=r"resnet50v2_notop\.h5: "):
        load_file(without_top(build_network("resnet50", 32, 10)), other)
    vgg, _ = published(keras, "VGG16", tmp_path)
    wide = keras.Sequential([keras.Input((32, 32, 3)), *(keras.layers.Conv2D(8, 3, name=f"c{k}") for k in range(13))])
    with pytest.raises(UserError, match=r"weights of other shapes in 13 layers:\n  c0: "):
        load_file(wide, vgg)


@pytest.mark.parametrize("content", [b"", b"no HDF5 file", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_holds_no_weights_is_refused(keras: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(UserError, match="not a file of Keras weights"):
        load_file(without_top(build_network("vgg16", 32, 10)), tmp_path / "x.h5")


def test_a_model_without_a_file_of_weights_needs_none() -> None:
    assert with_weights({"architecture": "simcnn"}, []) == {"architecture": "simcnn"}
