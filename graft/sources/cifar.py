"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels in 10 or 100 classes, published as pickles.

Krizhevsky: Learning Multiple Layers of Features from Tiny Images (2009); the format is that of the "python version" on
https://www.cs.toronto.edu/~kriz/cifar.html, as Python 2 wrote it. The pickles are read as data (see
:mod:`graft.sources.pickles`), and NumPy unpickles nothing.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from graft.errors import UserError
from graft.registry import part
from graft.sources.archives import read_archive
from graft.sources.base import Fetcher, Images, Sample, Sha256, Source
from graft.sources.pickles import PLAIN, DataUnpickler, Stateful
from graft.sources.remote import Remote

T = TypeVar("T")

SIDE = 32
PAGE = "https://www.cs.toronto.edu/~kriz"
CIFAR10 = Remote(
    "cifar-10-python.tar.gz",
    (f"{PAGE}/cifar-10-python.tar.gz",),
    ("6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",),
    170_498_071,
)
CIFAR100 = Remote(
    "cifar-100-python.tar.gz",
    (f"{PAGE}/cifar-100-python.tar.gz",),
    ("85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",),
    169_001_437,
)


class _Made(Stateful):
    """What a pickle makes of a type of NumPy: the arguments and the state, neither looked into."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


class _Array(_Made):
    """``numpy.core.multiarray._reconstruct``, which makes an empty array; shape, type and bytes are its state."""


class _DType(_Made):
    """``numpy.dtype``; the type's name is its first argument."""


class _Unpickler(DataUnpickler):
    KIND = "a file of CIFAR"
    OPCODES = PLAIN + pickle.SHORT_BINSTRING + pickle.BINSTRING
    NAMES = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _DType,
    }


class _Layout(NamedTuple):
    """The members of an archive with class names and, in their split, with images; and under which keys to look."""

    meta: str
    classes: bytes
    batches: dict[str, str]
    labels: bytes


class _Batch(NamedTuple):
    """Images as uint8 (n, 3, 32, 32), and as many labels and file names."""

    images: np.ndarray
    labels: list[int]
    names: list[str]


def _value(table: Any, key: bytes) -> Any:
    if not isinstance(table, dict) or key not in table:
        raise ValueError(f"it has no {key.decode()!r}")
    return table[key]


def _texts(table: Any, key: bytes) -> list[str]:
    values = _value(table, key)
    if not isinstance(values, list) or not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"its {key.decode()!r} are not a list of strings")
    return [value.decode() for value in values]


def _images(array: Any) -> np.ndarray:
    """uint8 (n, 3, 32, 32) from a pickled array of one row an image, its red values before its green and its blue."""
    columns = 3 * SIDE * SIDE
    match array:
        case _Array(state=(1, (int(rows), int(width)), _DType(arguments=(b"u1", *_)), fortran, bytes(data))) if (
            width == columns and rows * columns == len(data)
        ):
            table = np.frombuffer(data, np.uint8).reshape((rows, columns), order="F" if fortran else "C")
            return table.reshape(rows, 3, SIDE, SIDE)
    raise ValueError(f"its 'data' are not a whole uint8 array of {columns} columns")


def _batch(table: Any, key: bytes, classes: int) -> _Batch:
    images, labels, names = _images(_value(table, b"data")), _value(table, key), _texts(table, b"filenames")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < classes for label in labels):
        raise ValueError(f"its {key.decode()!r} are not a list of whole numbers from 0 to {classes - 1}")
    if not len(images) == len(labels) == len(names):
        raise ValueError(f"it has {len(images)} images, {len(labels)} labels and {len(names)} file names")
    return _Batch(images, labels, names)


def _member(path: Path, name: str) -> bytes:
    for member in read_archive(path, lambda found: found == name):
        if member.name == name and not member.fault:
            return member.data
    raise UserError(f"{path}: holds no {name} that can be read, so it is not the published archive")


def _parse(path: Path, name: str, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of the pickle in the member ``name``; the archive is read anew, up to there."""
    data = _member(path, name)
    try:
        return parse(_Unpickler(io.BytesIO(data)).load())
    except Exception as error:  # whatever a hostile pickle provokes is the file's fault
        raise UserError(f"{path}: {name} is not {_Unpickler.KIND}: {str(error) or 'it is cut short'}") from error


class Cifar(Source):
    """One of the two data sets, from its published archive or another of the same layout."""

    def __init__(self, archive: Remote, sha256: str | None, layout: _Layout) -> None:
        self.archive = archive.with_sha256(sha256)
        self.layout = layout

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Get the archive."""
        return [downloads.get(self.archive)]

    def read(self, raw: Path) -> Images:
        """Images as uint8 (32, 32, 3), batch by batch in the order of the layout, with one batch in memory at a time.

        Sample names are ``<batch>/<row>-<file name>``, as published file names alone are not unique.

        Raises:
            UserError: the archive is damaged or has another layout; also as the samples are read.
        """
        path, layout = raw / self.archive.name, self.layout
        classes = _parse(path, layout.meta, lambda table: _texts(table, layout.classes))
        return Images(classes, self._samples(path, len(classes)))

    def _samples(self, path: Path, classes: int) -> Iterator[Sample]:
        for name, split in self.layout.batches.items():
            batch = _parse(path, name, lambda table: _batch(table, self.layout.labels, classes))
            for row, (image, label, file) in enumerate(zip(*batch, strict=True)):
                pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
                yield Sample(f"{name.rpartition('/')[2]}/{row:05}-{file}", label, pixels, split)


@part("cifar10", splits=("train", "test"), page=f"{PAGE}/cifar.html")
def cifar10(*, sha256: Sha256 | None = None) -> Source:
    """Ten classes of 5,000 training and 1,000 test images; ``sha256`` is that of another archive of this layout."""
    folder = "cifar-10-batches-py"
    batches = {f"{folder}/data_batch_{number}": "train" for number in range(1, 6)} | {f"{folder}/test_batch": "test"}
    return Cifar(CIFAR10, sha256, _Layout(f"{folder}/batches.meta", b"label_names", batches, b"labels"))


@part("cifar100", splits=("train", "test"), page=f"{PAGE}/cifar.html")
def cifar100(*, labels: Literal["fine", "coarse"] = "fine", sha256: Sha256 | None = None) -> Source:
    """100 ``fine`` classes of 500 training and 100 test images, or the 20 ``coarse`` ones that group them."""
    folder = "cifar-100-python"
    batches = {f"{folder}/train": "train", f"{folder}/test": "test"}
    classes, key = f"{labels}_label_names".encode(), f"{labels}_labels".encode()
    return Cifar(CIFAR100, sha256, _Layout(f"{folder}/meta", classes, batches, key))
