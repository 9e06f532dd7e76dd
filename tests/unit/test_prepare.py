from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from graft.prepare import build_index, prepare_images, resize, sample_id
from graft.sources import open_source
from graft.sources.base import Sample


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.fromarray(image) for image in load_sample_images().images]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    open_source({"name": "digits"}).fetch(folder)
    return folder


def test_the_index_of_the_digits(raw: Path) -> None:
    source = open_source({"name": "digits"})
    index = build_index(source.read(raw), source.classes)
    assert list(index.columns) == ["sample_id", "label", "class_name", "source", "sha1", "width", "height"]
    assert len(index) == 1797
    assert index["label"].tolist() == load_digits().target.tolist()
    assert index["class_name"].value_counts().to_dict() == {
        str(digit): count for digit, count in enumerate(np.bincount(load_digits().target))
    }
    assert index["sample_id"].is_unique
    assert set(index["width"]) == set(index["height"]) == {8}


def test_an_index_has_the_size_of_the_image_as_published(photos: list[Image.Image]) -> None:
    index = build_index([Sample("china", 1, photos[0])], ["flower", "building"])
    (row,) = index.to_dict("records")
    assert (row["width"], row["height"]) == (640, 427)
    assert (row["class_name"], row["label"], row["source"]) == ("building", 1, "china")


def test_a_sample_id_depends_on_the_name_alone(photos: list[Image.Image]) -> None:
    samples = [Sample("china", 0, photos[0]), Sample("flower", 1, photos[1])]
    forward, backward = (build_index(order, ["a", "b"]).set_index("source") for order in (samples, samples[::-1]))
    assert forward["sample_id"].to_dict() == backward["sample_id"].to_dict()
    assert forward["sample_id"]["china"] == sample_id("china")
    assert sample_id("abc") == "a9993e364706816a"  # the standard's example of SHA-1, cut


def test_equal_pixels_have_equal_hashes_whatever_their_name_or_mode(photos: list[Image.Image]) -> None:
    grey = photos[0].convert("L")
    other = photos[0].copy()
    other.putpixel((3, 3), (1, 2, 3))
    turned = Image.frombytes("RGB", photos[0].size[::-1], photos[0].tobytes())
    images = [photos[0], photos[0].copy(), photos[1], grey, grey.convert("RGB"), other, turned]
    sha1 = build_index([Sample(str(k), 0, image) for k, image in enumerate(images)], ["a"])["sha1"].tolist()
    assert sha1[0] == sha1[1]
    assert sha1[3] == sha1[4]
    assert len(set(sha1)) == 5


@pytest.mark.parametrize("size", [8, 100, 700])
def test_resizing_is_pillows_bicubic(photos: list[Image.Image], size: int) -> None:
    ours = resize(photos[0], size)
    assert (ours.shape, ours.dtype) == ((size, size, 3), np.uint8)
    np.testing.assert_array_equal(ours, np.asarray(photos[0].resize((size, size), Image.Resampling.BICUBIC)))


def test_resizing_to_the_own_size_changes_nothing(photos: list[Image.Image]) -> None:
    square = photos[1].crop((0, 0, 64, 64))
    np.testing.assert_array_equal(resize(square, 64), np.asarray(square))


def test_a_grey_image_has_three_equal_channels() -> None:
    image = Image.fromarray((load_digits().images[0] * 15).astype(np.uint8))
    channels = resize(image, 16)
    assert (channels == channels[..., :1]).all()


def test_the_array_is_a_plain_file_of_bytes_in_the_sources_order(tmp_path: Path, photos: list[Image.Image]) -> None:
    path = tmp_path / "images.npy"
    prepare_images((Sample(str(k), 0, image) for k, image in enumerate(photos)), 2, 32, path)
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    assert (images.shape, images.dtype, images.flags.c_contiguous) == ((2, 32, 32, 3), np.uint8, True)
    np.testing.assert_array_equal(images, [resize(image, 32) for image in photos])
    assert path.stat().st_size == 128 + 2 * 32 * 32 * 3
    assert path.read_bytes()[:6] == b"\x93NUMPY"


@pytest.mark.parametrize("count", [1, 3])
def test_a_source_that_reads_more_or_fewer_images_than_the_index_is_an_error(
    tmp_path: Path, photos: list[Image.Image], count: int
) -> None:
    samples = [Sample(str(k), 0, image) for k, image in enumerate(photos)]
    with pytest.raises(ValueError, match="zip"):
        prepare_images(samples, count, 8, tmp_path / "images.npy")
