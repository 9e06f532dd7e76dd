import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from graft.arrays import Data
from graft.embeddings import Embeddings, embed, in_order, load_embeddings, penultimate, save_embeddings
from graft.errors import UserError
from graft.files import read_json, record_sums
from graft.finetune import build_network
from graft.registry import parts

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/embed_images.py"

# The width of what enters the last dense layer, as the listing or paper of each has it, and the smallest images.
WIDTHS = {
    "simcnn": (32, 64),
    "dcnn": (32, 2 * 2 * 256),
    "toy_resnet": (32, 256),
    "mnist_mlp": (28, 50),
    "all_cnn": (32, 7),  # a convolution of one filter per class comes before it
}


def as_array(keras: Any, tensor: Any) -> np.ndarray:
    array: np.ndarray = keras.ops.convert_to_numpy(tensor)
    return array


# -- networks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", WIDTHS)
def test_the_last_layer_makes_the_logits_of_an_embedding(keras: Any, digits: Any, architecture: str) -> None:
    size, width = WIDTHS[architecture]
    keras.utils.set_random_seed(0)
    model, images = build_network(architecture, size, 7), digits(size, 10).inputs[0]
    embedding = embed(penultimate(model), images, np.arange(10))
    assert embedding.shape == (10, width)
    assert embedding.dtype == np.float32
    assert np.ptp(embedding) > 0
    logits = as_array(keras, model.get_layer("logits")(embedding))
    np.testing.assert_allclose(logits, as_array(keras, model(images)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "width"), [({}, 1280), ({"dense": [12, 5], "dropout": 0.9}, 5)], ids=["pooling", "dense layers"]
)
def test_of_a_backbone_it_is_what_the_head_ends_with(keras: Any, digits: Any, head: dict[str, Any], width: int) -> None:
    model, images = build_network("efficientnet_lite0", 32, 3, head=head), digits(32, 4).inputs[0]
    embedding = embed(penultimate(model), images, np.arange(4))
    assert embedding.shape == (4, width)
    logits = as_array(keras, model.get_layer("logits")(embedding))
    np.testing.assert_allclose(logits, as_array(keras, model(images)), rtol=1e-4, atol=1e-5)


def test_of_a_network_that_ends_in_a_convolution_it_is_the_mean_over_the_image(keras: Any, digits: Any) -> None:
    model, images = build_network("all_cnn_c", 32, 7), digits(32, 6).inputs[0]
    *_, last = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    entering = keras.Model(model.input, last.input).predict_on_batch(images)
    assert entering.shape == (6, 6, 6, 192)
    embedding = embed(penultimate(model), images, np.arange(6))
    np.testing.assert_allclose(embedding, entering.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


def test_every_network_of_the_project_has_one_vector_per_image(keras: Any) -> None:
    networks = {name: part.facts for name, part in parts("graft.models").items() if not part.facts.get("backbone")}
    for name in networks:
        encoder = penultimate(build_network(name, 32, 3))
        assert encoder.input.dtype == "uint8", name
        assert len(encoder.output.shape) == 2, name


def test_rows_are_embedded_in_their_order_whatever_the_batches(keras: Any, digits: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", digits(32, 20).inputs[0])
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    encoder = penultimate(build_network("simcnn", 32, 10))
    every = embed(encoder, images, np.arange(20))
    rows = np.array([7, 3, 3, 19, 0])
    np.testing.assert_allclose(embed(encoder, images, rows, batch_size=2), every[rows], rtol=1e-4, atol=1e-6)
    assert embed(encoder, images, rows[:0]).shape == (0, 64)


def test_a_network_of_mixed_precision_has_embeddings_of_float32(keras: Any, digits: Any) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_network("simcnn", 32, 10)
    finally:
        keras.config.set_dtype_policy("float32")
    encoder = penultimate(model)
    assert encoder.output.dtype == "bfloat16"
    embedding = embed(encoder, digits(32, 5).inputs[0], np.arange(5))
    assert embedding.dtype == np.float32
    assert np.ptp(embedding) > 0


def test_long_work_tells_how_far_it_is(
    keras: Any, digits: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("graft.embeddings.LINE_EVERY", 1e-9)
    encoder = penultimate(build_network("simcnn", 32, 10))
    with caplog.at_level("INFO", logger="graft.embeddings"):
        embed(encoder, digits(32, 10).inputs[0], np.arange(10), batch_size=5)
    assert any(line.startswith("embeddings: 50% of 2 batches, ") for line in caplog.messages)


# -- files ---------------------------------------------------------------------------------------------------------------

IDS = np.array(["a", "ç", "c"])
VECTORS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def test_what_is_saved_is_loaded_and_equal_files_are_made_of_it(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        save_embeddings(tmp_path / name, IDS, VECTORS)
    sample_id, embedding = load_embeddings(tmp_path / "one.npz")
    assert sample_id.tolist() == IDS.tolist()
    np.testing.assert_array_equal(embedding, VECTORS)
    assert embedding.dtype == np.float32
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize(
    ("sample_id", "embedding", "text"),
    [
        (np.array(["a", "b", "a"]), VECTORS, "names a sample twice"),
        (IDS[:2], VECTORS, r"has ids \(2,\) and embeddings \(3, 2\)"),
        (IDS, VECTORS[:, 0], r"has ids \(3,\) and embeddings \(3,\)"),
        (np.arange(3), VECTORS, "must be text and float32; not int64, float32"),
        (IDS, VECTORS.astype(float), "must be text and float32; not <U1, float64"),
        (IDS, np.where(VECTORS == 4, np.nan, VECTORS), "the embedding of ç is not finite"),
        (IDS, np.where(VECTORS == 5, np.inf, VECTORS), "the embedding of c is not finite"),
    ],
    ids=["twice", "fewer ids", "flat", "numbers as ids", "float64", "NaN", "infinite"],
)
def test_other_arrays_are_neither_saved_nor_loaded(
    tmp_path: Path, sample_id: np.ndarray, embedding: np.ndarray, text: str
) -> None:
    path = tmp_path / "embeddings.npz"
    with pytest.raises(UserError, match=text):
        save_embeddings(path, sample_id, embedding)
    assert not path.exists()
    np.savez(path, sample_id=sample_id, embedding=embedding)
    with pytest.raises(UserError, match=f"^{path}: .*{text}"):
        load_embeddings(path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"no archive"),
        lambda path: np.savez(path, sample_id=IDS),
        lambda path: np.savez(path, sample_id=IDS.astype(object), embedding=VECTORS),
    ],
    ids=["no archive", "an array short", "a pickle"],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "embeddings.npz"
    write(path)
    with pytest.raises(UserError, match=f"^{path}: not an embeddings file: [^\n]+$"):
        load_embeddings(path)


def test_members_meet_on_their_samples() -> None:
    members = {"one": Embeddings(IDS, VECTORS), "two": Embeddings(np.array(["x", "c", "ç"]), VECTORS)}
    one, two = in_order(members, np.array(["ç", "c"]))
    assert one.tolist() == [[3, 4], [5, 6]]
    assert two.tolist() == [[5, 6], [3, 4]]
    assert in_order({"one": members["one"]}, IDS)[0] is VECTORS  # no copy where the order is theirs


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (["ç", "a"], "one and two cannot be combined: two has no embedding of a, and one has"),
        (["x"], "two and one cannot be combined: one has no embedding of x, and two has"),
        (["nowhere"], "one cannot be combined: one has no embedding of nowhere"),
    ],
)
def test_a_missing_sample_is_named_with_both_members(wanted: list[str], text: str) -> None:
    members = {"one": Embeddings(IDS, VECTORS), "two": Embeddings(np.array(["x", "c", "ç"]), VECTORS)}
    with pytest.raises(UserError) as error:
        in_order(members, np.array(wanted))
    assert str(error.value) == text


# -- the job -------------------------------------------------------------------------------------------------------------


def test_the_job_embeds_what_is_in_a_split(
    keras: Any, digits: Callable[[int, int], Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.backends.start_backend", lambda **_: None)  # it is started, once per process
    data = digits(32, 12)
    keras.utils.set_random_seed(0)
    model = build_network("simcnn", 32, 3)  # of other classes than the images'
    path = {name: tmp_path / name for name in ("model.keras", "images.npy", "index.parquet", "splits.parquet")}
    model.save(path["model.keras"])
    np.save(path["images.npy"], data.inputs[0])
    pd.DataFrame({"sample_id": data.sample_id, "label": data.label}).to_parquet(path["index.parquet"])
    used = [11, 2, 5]
    pd.DataFrame({"sample_id": data.sample_id[used], "split": ["train", "validation", "test"]}).to_parquet(
        path["splits.parquet"]
    )
    for file in path.values():
        record_sums(file.with_suffix(".sha256"), [file])
    output = {"embeddings": "e.npz", "runtime": "runtime.json", "sums": "e.sha256"}
    job = SimpleNamespace(
        rule="embed_images",
        wildcards=[],
        log=[str(tmp_path / "log")],
        input=SimpleNamespace(
            model=str(path["model.keras"]),
            images=str(tmp_path / "images.sha256"),
            index=str(path["index.parquet"]),
            splits=str(path["splits.parquet"]),
        ),
        params=SimpleNamespace(compute={"backend": "tensorflow", "threads": 1, "deterministic": True}, code="0"),
        output=SimpleNamespace(**{key: str(tmp_path / name) for key, name in output.items()}),
    )
    runpy.run_path(str(SCRIPT), {"snakemake": job})
    found = load_embeddings(tmp_path / "e.npz")
    assert found.sample_id.tolist() == data.sample_id[sorted(used)].tolist()
    np.testing.assert_allclose(
        found.embedding, penultimate(model).predict_on_batch(data.inputs[0][sorted(used)]), rtol=1e-4, atol=1e-6
    )
    assert read_json(tmp_path / "runtime.json")["images"] == 3
    assert (tmp_path / "e.sha256").read_text().endswith("  e.npz\n")
