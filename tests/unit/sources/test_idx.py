import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.errors import UserError
from graft.files import sha256
from graft.sources.base import Images, open_source
from graft.sources.download import Downloads
from graft.sources.remote import Remote
from tests.unit.sources import published
from tests.unit.sources.published import IDX_FILES, idx_bytes

TRAIN, TEST = published.digits(28, 100).part(0, 70), published.digits(28, 100).part(70, 100)
NAMES = ["mnist", "fashion_mnist"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    published.idx(folder, TRAIN, TEST)
    return folder


def read(raw: Path, name: str = "mnist") -> Images:
    return open_source({"name": name}).read(raw)


# -- good files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_image_has_its_pixels_label_and_split(raw: Path, name: str) -> None:
    samples = list(read(raw, name).samples)
    np.testing.assert_array_equal(np.stack([s.image for s in samples]), np.concatenate([TRAIN.images, TEST.images]))
    assert [sample.label for sample in samples] == [*TRAIN.labels, *TEST.labels]
    assert [sample.split for sample in samples] == ["train"] * 70 + ["test"] * 30
    assert not any(sample.fault for sample in samples)
    assert {sample.image.dtype for sample in samples} == {np.dtype(np.uint8)}


def test_names_are_split_and_row(raw: Path) -> None:
    names = [sample.name for sample in read(raw).samples]
    assert (names[0], names[69], names[70]) == ("train/00000", "train/00069", "test/00000")
    assert len(set(names)) == 100


def test_mnists_classes_are_its_digits(raw: Path) -> None:
    assert read(raw).classes == list("0123456789")


def test_fashion_mnists_classes_are_those_of_its_table(raw: Path) -> None:
    assert read(raw, "fashion_mnist").classes == [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip


def test_the_files_may_be_compressed_anew(raw: Path) -> None:
    before = [sample.image.tobytes() for sample in read(raw).samples]
    for name in IDX_FILES:
        content = gzip.decompress((raw / name).read_bytes())
        (raw / name).write_bytes(gzip.compress(content[:99], 1) + gzip.compress(content[99:], 9))
    assert [sample.image.tobytes() for sample in read(raw).samples] == before


# -- fetching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_files_of_ones_own_are_fetched_by_their_checksums(raw: Path, tmp_path: Path, name: str) -> None:
    source = open_source({"name": name, "sha256": {file: sha256(raw / file) for file in IDX_FILES}})
    folder = tmp_path / "other"
    assert source.fetch(Downloads(folder, [str(raw)])) == [folder / file for file in IDX_FILES]
    assert len(list(source.read(folder).samples)) == 100


class Asked(Downloads):
    def __init__(self) -> None:
        super().__init__(Path())
        self.remotes: list[Remote] = []

    def get(self, remote: Remote) -> Path:
        self.remotes.append(remote)
        return self.raw / remote.name


@pytest.mark.parametrize("name", NAMES)
def test_one_file_of_ones_own_leaves_the_others_as_published(name: str) -> None:
    plain, own = Asked(), Asked()
    open_source({"name": name}).fetch(plain)
    open_source({"name": name, "sha256": {IDX_FILES[1]: "0" * 64}}).fetch(own)
    assert own.remotes[1] == Remote(IDX_FILES[1], sha256=("0" * 64,))
    assert own.remotes[:1] + own.remotes[2:] == plain.remotes[:1] + plain.remotes[2:]


@pytest.mark.parametrize(("name", "hosts", "digests"), [("mnist", 2, 1), ("fashion_mnist", 1, 2)])
def test_published_files_are_asked_for_by_address_and_checksum(name: str, hosts: int, digests: int) -> None:
    asked = Asked()
    open_source({"name": name}).fetch(asked)
    assert [remote.name for remote in asked.remotes] == IDX_FILES
    for remote in asked.remotes:
        assert len(remote.addresses) == hosts
        assert all(address.endswith(f"/{remote.name}") for address in remote.addresses)
        assert [len(bytes.fromhex(digest)) for digest in remote.sha256] == [32] * digests
    assert len({digest for remote in asked.remotes for digest in remote.sha256}) == 4 * digests


# -- bad files -----------------------------------------------------------------------------------------------------------

IMAGES, LABELS = IDX_FILES[:2]


def content(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(change(gzip.decompress(data)))


def sized(*sizes: int) -> Callable[[bytes], bytes]:
    """Other sizes in the header, nothing else."""
    return content(lambda data: data[:4] + struct.pack(f">{len(sizes)}I", *sizes) + data[4 + 4 * len(sizes) :])


BAD: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "no gzip": (IMAGES, gzip.decompress, "damaged: Not a gzipped file"),
    "empty": (IMAGES, lambda data: b"", "cut short: it holds less than its header says"),
    "no header": (IMAGES, content(lambda data: data[:9]), "cut short: it holds less than its header says"),
    "gzip cut short": (IMAGES, lambda data: data[: len(data) // 2], "damaged: "),
    "gzip without its checksum": (IMAGES, lambda data: data[:-8], "damaged: "),
    "gzip of another checksum": (IMAGES, lambda data: data[:-8] + b"0000" + data[-4:], "damaged: CRC check failed"),
    "bits flipped": (IMAGES, lambda data: data[:999] + bytes([data[999] ^ 255]) + data[1000:], ""),
    "text after gzip": (LABELS, lambda data: data + b"text", "damaged: Not a gzipped file"),
    "labels for images": (IMAGES, lambda data: gzip.compress(idx_bytes(np.zeros(99))), "not the IDX file of that name: it starts with 0x00000801, not 0x00000803"),
    "images for labels": (LABELS, lambda data: gzip.compress(idx_bytes(TRAIN.images)), "not the IDX file of that name: it starts with 0x00000803, not 0x00000801"),
    "numbers with a fraction": (IMAGES, content(lambda data: b"\0\0\x0d\x03" + data[4:]), "it starts with 0x00000d03"),
    "images of another size": (IMAGES, lambda data: gzip.compress(idx_bytes(TRAIN.images[:, 4:])), "its images have 24 x 28 pixels, not 28 x 28"),
    "images of a huge size": (IMAGES, sized(70, 2**32 - 1, 2**32 - 1), "its images have 4294967295 x 4294967295 pixels, not 28 x 28"),
    "images without pixels": (IMAGES, sized(70, 0, 0), "its images have 0 x 0 pixels, not 28 x 28"),
    "more images than labels": (IMAGES, sized(71, 28, 28), "holds 71 images, but train-labels-idx1-ubyte.gz 70 labels"),
    "more labels than images": (LABELS, sized(71), "holds 70 images, but train-labels-idx1-ubyte.gz 71 labels"),
    "an image cut short": (IMAGES, content(lambda data: data[:-1]), "cut short: it holds less than its header says"),
    "a label too few": (LABELS, content(lambda data: data[:-1]), "cut short: it holds less than its header says"),
    "bytes after the images": (IMAGES, content(lambda data: data + b"\0"), "holds more than its header says"),
    "bytes after the labels": (LABELS, content(lambda data: data + b"\0"), "holds more than its header says"),
    "a label too high": (LABELS, content(lambda data: data[:-1] + b"\x0a"), "label 10 of image 69 is above 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("file", "change", "why"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(
    raw: Path, file: str, change: Callable[[bytes], bytes], why: str, name: str
) -> None:
    (raw / file).write_bytes(change((raw / file).read_bytes()))
    with pytest.raises(UserError) as error:
        list(read(raw, name).samples)
    assert str(error.value).startswith((f"{raw / file}: ", f"{raw / IMAGES}: holds "))
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_count_that_is_a_lie_takes_no_memory(raw: Path) -> None:
    for file, sizes in ((IMAGES, (2**32 - 1, 28, 28)), (LABELS, (2**32 - 1,))):
        (raw / file).write_bytes(sized(*sizes)((raw / file).read_bytes()))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz: cut short"):
            for _ in read(raw).samples:
                pass
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_what_unpacks_to_far_more_than_it_says_takes_no_memory(raw: Path) -> None:
    packed = gzip.compress(idx_bytes(TRAIN.images)) + gzip.compress(bytes(50 * 2**20), 1)
    (raw / IMAGES).write_bytes(packed)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="holds more than its header says"):
            list(read(raw).samples)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_the_writer_of_these_tests_writes_the_header_on_lecuns_page() -> None:
    head: Any = struct.unpack(">iiii", idx_bytes(TRAIN.images)[:16])
    assert head == (2051, 70, 28, 28)
    assert struct.unpack(">ii", idx_bytes(TRAIN.labels)[:8]) == (2049, 70)
