import hashlib
import pickle
import tracemalloc
import warnings
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
from tests.unit.sources.published import CIFAR10_CLASSES, CIFAR10_META, CIFAR100_META, Labelled, python2_pickle, tar_gz

TRAIN, TEST = published.crops(32, 250, 10).part(0, 200), published.crops(32, 250, 10).part(200, 250)
FINE = published.crops(32, 250, 100)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    published.cifar10(folder, TRAIN, TEST)
    published.cifar100(folder, FINE.part(0, 200), FINE.part(200, 250))
    return folder


def read(raw: Path, name: str = "cifar10", **options: Any) -> Images:
    return open_source({"name": name, **options}).read(raw)


# -- the format ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meta", "md5"),
    [(CIFAR10_META, "5ff9c542aee3614f3951f8cda6e48888"), (CIFAR100_META, "7973b15100ade9c7d40fb424638fde48")],
    ids=["cifar10", "cifar100"],
)
def test_the_writer_of_these_tests_writes_the_published_class_names_byte_for_byte(
    meta: dict[bytes, Any], md5: str
) -> None:
    assert hashlib.md5(python2_pickle(meta)).hexdigest() == md5


@pytest.mark.parametrize("fortran", [False, True])
def test_what_the_writer_of_these_tests_writes_is_what_pickle_and_numpy_read(fortran: bool) -> None:
    table = published.cifar_batch("training batch 1 of 5", TRAIN, CIFAR10_CLASSES, labels=TRAIN.labels.tolist())
    with warnings.catch_warnings(action="ignore"):  # NumPy has moved its functions since
        loaded = pickle.loads(python2_pickle(table, fortran), encoding="bytes")
    assert list(loaded) == list(table)
    np.testing.assert_array_equal(loaded.pop(b"data"), table.pop(b"data"))
    assert loaded == table


# -- good archives -------------------------------------------------------------------------------------------------------


def test_every_image_of_cifar_10_has_its_pixels_label_and_split(raw: Path) -> None:
    images = read(raw)
    samples = list(images.samples)
    assert images.classes == [name.decode() for name in CIFAR10_CLASSES]
    np.testing.assert_array_equal(np.stack([s.image for s in samples]), np.concatenate([TRAIN.images, TEST.images]))
    assert [sample.label for sample in samples] == [*TRAIN.labels, *TEST.labels]
    assert [sample.split for sample in samples] == ["train"] * 200 + ["test"] * 50
    assert not any(sample.fault for sample in samples)


@pytest.mark.parametrize(
    ("options", "classes", "labels"),
    [
        ({}, published.CIFAR100_FINE, FINE.labels),
        ({"labels": "fine"}, published.CIFAR100_FINE, FINE.labels),
        ({"labels": "coarse"}, published.CIFAR100_COARSE, np.array(published.CIFAR100_COARSE_OF_FINE)[FINE.labels]),
    ],
    ids=["by default", "fine", "coarse"],
)
def test_cifar_100_has_fine_or_coarse_labels(raw: Path, options: Any, classes: list[bytes], labels: np.ndarray) -> None:
    images = read(raw, "cifar100", **options)
    samples = list(images.samples)
    assert images.classes == [name.decode() for name in classes]
    assert [sample.label for sample in samples] == labels.tolist()
    np.testing.assert_array_equal(np.stack([s.image for s in samples]), FINE.images)
    assert [sample.split for sample in samples] == ["train"] * 200 + ["test"] * 50


def test_names_say_batch_row_and_file_and_are_unique_though_file_names_are_not(raw: Path) -> None:
    names = [sample.name for sample in read(raw).samples]
    assert names[0] == "data_batch_1/00000-airplane_s_000000.png"
    assert names[41] == "data_batch_2/00001-automobile_s_000000.png"
    assert names[-1] == "test_batch/00049-truck_s_000004.png"
    assert len(set(names)) == 250
    assert len({name.partition("-")[2] for name in names}) < 250


def test_an_image_is_whole_on_its_own(raw: Path) -> None:
    image = next(read(raw).samples).image
    assert isinstance(image, np.ndarray)
    assert image.base is None
    assert image.flags.c_contiguous


def test_the_order_of_an_archives_members_decides_nothing(raw: Path, tmp_path: Path) -> None:
    members = published.cifar10_members(TRAIN, TEST)
    tar_gz(tmp_path / "cifar-10-python.tar.gz", dict(reversed(members.items())))
    names = [(sample.name, sample.image.tobytes()) for sample in read(tmp_path).samples]
    assert names == [(sample.name, sample.image.tobytes()) for sample in read(raw).samples]


def test_an_array_in_the_other_memory_order_reads_alike(raw: Path, tmp_path: Path) -> None:
    members = published.cifar100_members(FINE.part(0, 200), FINE.part(200, 250))
    with warnings.catch_warnings(action="ignore"):
        table = pickle.loads(members["cifar-100-python/train"], encoding="bytes")
    members["cifar-100-python/train"] = python2_pickle(table, fortran=True)
    tar_gz(tmp_path / "cifar-100-python.tar.gz", members)
    for sample, expected in zip(read(tmp_path, "cifar100").samples, read(raw, "cifar100").samples, strict=True):
        np.testing.assert_array_equal(sample.image, expected.image)


def test_a_batch_at_a_time_is_in_memory(tmp_path: Path) -> None:
    many = Labelled(np.tile(TRAIN.images, (15, 1, 1, 1)), np.tile(TRAIN.labels, 15))
    published.cifar10(tmp_path, many, TEST)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read(tmp_path).samples)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3050
    assert peak < many.images.nbytes * 0.7  # a batch is a fifth, and in memory up to three times as it is taken apart


# -- fetching ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_an_archive_of_ones_own_is_fetched_by_its_checksum(raw: Path, tmp_path: Path, name: str) -> None:
    file = f"cifar-{name.removeprefix('cifar')}-python.tar.gz"
    source = open_source({"name": name, "sha256": sha256(raw / file)})
    assert source.fetch(Downloads(tmp_path, [str(raw)])) == [tmp_path / file]
    assert len(list(source.read(tmp_path).samples)) == 250


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_an_archive_of_ones_own_is_not_looked_for_where_the_published_one_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as error:
        open_source({"name": name, "sha256": "0" * 64}).fetch(Downloads(tmp_path, [str(tmp_path / "mirror")]))
    assert "http" not in str(error.value)


class Asked(Downloads):
    def get(self, remote: Remote) -> Path:
        self.remote = remote
        return self.raw / remote.name


@pytest.mark.parametrize(
    ("name", "published_size"), [("cifar10", 170_498_071), ("cifar100", 169_001_437)], ids=["cifar10", "cifar100"]
)
def test_the_published_archive_is_asked_for_even_by_its_own_checksum(
    tmp_path: Path, name: str, published_size: int
) -> None:
    downloads = Asked(tmp_path)
    open_source({"name": name}).fetch(downloads)
    remote = downloads.remote
    assert remote.size == published_size
    assert remote.addresses == (f"https://www.cs.toronto.edu/~kriz/{remote.name}",)
    open_source({"name": name, "sha256": remote.sha256[0]}).fetch(downloads)
    assert downloads.remote == remote


# -- bad archives --------------------------------------------------------------------------------------------------------


def spoilt(**change: Any) -> Callable[[], bytes]:
    """The first batch with other values under some keys; None takes the key away."""

    def write() -> bytes:
        batch = published.cifar_batch("training batch 1 of 5", TRAIN.part(0, 4), CIFAR10_CLASSES, labels=[0, 1, 2, 3])
        batch |= {key.encode(): value for key, value in change.items()}
        return python2_pickle({key: value for key, value in batch.items() if value is not None})

    return write


def replaced(old: bytes, new: bytes) -> Callable[[], bytes]:
    def write() -> bytes:
        good = spoilt()()
        assert old in good
        return good.replace(old, new)

    return write


ROWS = np.ascontiguousarray(TRAIN.images[:4].transpose(0, 3, 1, 2)).reshape(4, 3072)
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it is cut short"),
    "cut short": (lambda: spoilt()()[:9000], ""),
    "no dictionary": (lambda: python2_pickle([1]), "it has no 'data'"),
    "no images": (spoilt(data=None), "it has no 'data'"),
    "no labels": (spoilt(labels=None), "it has no 'labels'"),
    "no file names": (spoilt(filenames=None), "it has no 'filenames'"),
    "images of other columns": (spoilt(data=np.tile(ROWS, 2)), "its 'data' are not a whole uint8 array of 3072 columns"),
    "images of one dimension": (spoilt(data=ROWS.ravel()), "its 'data' are not a whole uint8 array of 3072 columns"),
    "images of another type": (spoilt(data=ROWS.astype("<f4")), "its 'data' are not a whole uint8 array"),
    "images of signed bytes": (replaced(b"U\x02u1", b"U\x02i1"), "its 'data' are not a whole uint8 array"),
    "images of objects": (replaced(b"U\x02u1", b"U\x02O8"), "its 'data' are not a whole uint8 array"),
    "images as a string": (spoilt(data=b"pixels"), "its 'data' are not a whole uint8 array"),
    "more rows than bytes": (replaced(b"K\x04M\x00\x0c\x86", b"K\x05M\x00\x0c\x86"), "its 'data' are not a whole"),
    "fewer rows than bytes": (replaced(b"K\x04M\x00\x0c\x86", b"K\x03M\x00\x0c\x86"), "its 'data' are not a whole"),
    "a negative count of rows": (replaced(b"K\x04M\x00\x0c\x86", b"J\xff\xff\xff\xffM\x00\x0c\x86"), "its 'data' are"),
    "rows in words": (replaced(b"K\x04M\x00\x0c\x86", b"U\x014M\x00\x0c\x86"), "its 'data' are not a whole"),
    "another version of the state": (replaced(b"(K\x01K\x04M", b"(K\x02K\x04M"), "its 'data' are not a whole"),
    "a label too high": (spoilt(labels=[0, 1, 2, 10]), "its 'labels' are not a list of whole numbers from 0 to 9"),
    "a label below zero": (spoilt(labels=[0, -1, 2, 3]), "its 'labels' are not a list of whole numbers from 0 to 9"),
    "a label in words": (spoilt(labels=[0, b"1", 2, 3]), "its 'labels' are not a list of whole numbers from 0 to 9"),
    "labels that are no list": (spoilt(labels=b"0123"), "its 'labels' are not a list of whole numbers from 0 to 9"),
    "a label too many": (spoilt(labels=[0, 1, 2, 3, 4]), "it has 4 images, 5 labels and 4 file names"),
    "a file name too few": (spoilt(filenames=[b"a", b"b", b"c"]), "it has 4 images, 4 labels and 3 file names"),
    "a file name that is a number": (spoilt(filenames=[b"a", b"b", 1, b"c"]), "its 'filenames' are not a list of strings"),
    "a file name that is no text": (spoilt(filenames=[b"\xff"] * 4), "'utf-8' codec can't decode"),
    "pickled by Python 3": (lambda: pickle.dumps({b"data": ROWS}, 2), "which a file of CIFAR has no use for"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "why"), BAD.values(), ids=BAD)
def test_a_bad_batch_is_refused_in_one_line(tmp_path: Path, write: Callable[[], bytes], why: str) -> None:
    members = {"batches.meta": python2_pickle(CIFAR10_META), "data_batch_1": write()}
    path = tar_gz(tmp_path / "cifar-10-python.tar.gz", {f"cifar-10-batches-py/{k}": v for k, v in members.items()})
    with pytest.raises(UserError) as error:
        list(read(tmp_path).samples)
    assert str(error.value).startswith(f"{path}: cifar-10-batches-py/data_batch_1 is not a file of CIFAR: ")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({}, "it has no 'label_names'"),
        ({b"label_names": b"airplane"}, "its 'label_names' are not a list of strings"),
        ({b"label_names": [b"airplane", 1]}, "its 'label_names' are not a list of strings"),
    ],
    ids=["no names", "one name", "a number"],
)
def test_bad_class_names_are_refused_in_one_line(tmp_path: Path, meta: dict[bytes, Any], why: str) -> None:
    path = tar_gz(tmp_path / "cifar-10-python.tar.gz", {"cifar-10-batches-py/batches.meta": python2_pickle(meta)})
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert str(error.value) == f"{path}: cifar-10-batches-py/batches.meta is not a file of CIFAR: {why}"


@pytest.mark.parametrize("absent", ["batches.meta", "data_batch_3", "test_batch"])
def test_an_archive_without_a_published_member_is_refused(tmp_path: Path, absent: str) -> None:
    members = published.cifar10_members(TRAIN, TEST)
    del members[f"cifar-10-batches-py/{absent}"]
    path = tar_gz(tmp_path / "cifar-10-python.tar.gz", members)
    with pytest.raises(UserError) as error:
        list(read(tmp_path).samples)
    text = f"{path}: holds no cifar-10-batches-py/{absent} that can be read, so it is not the published archive"
    assert str(error.value) == text


def test_an_archive_cut_short_is_refused(raw: Path, tmp_path: Path) -> None:
    data = (raw / "cifar-10-python.tar.gz").read_bytes()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz: "):
        list(read(tmp_path).samples)
