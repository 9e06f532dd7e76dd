"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 pixels in ten classes, published as gzipped IDX files.

LeCun, Bottou, Bengio and Haffner: Gradient-based learning applied to document recognition (Proceedings of the IEEE 86,
1998) and Xiao, Rasul and Vollgraf: Fashion-MNIST (arXiv 1708.07747). IDX is described on
http://yann.lecun.com/exdb/mnist/: a magic number, whose third byte is the type and whose last is the number of
dimensions, the size of each dimension, both as big-endian 32-bit numbers, and the elements.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from graft.errors import UserError
from graft.registry import part
from graft.sources.base import Fetcher, Images, Sample, Sha256, Source
from graft.sources.remote import Remote

SIDE = 28
IMAGES_MAGIC = 0x00000803
LABELS_MAGIC = 0x00000801

FileName = Literal[
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
]


def _remotes(addresses: tuple[str, ...], *published: tuple[int, str, *tuple[str, ...]]) -> list[Remote]:
    """The four files, in the order of their names above, from the size and the accepted digests of each."""
    return [
        Remote(name, tuple(f"{address}/{name}" for address in addresses), tuple(digests), size)
        for name, (size, *digests) in zip(get_args(FileName), published, strict=True)
    ]


MNIST = _remotes(
    ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)

# The second digest of each file is that in Debian's package dataset-fashion-mnist: the same content, compressed anew.
FASHION_MNIST = _remotes(
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
    (
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    ),
    (
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    ),
    (
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    ),
    (
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    ),
)
FASHION_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


def _take(file: gzip.GzipFile, count: int) -> bytes:
    """The next ``count`` bytes, or as many as are left."""
    try:
        return file.read(count)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{file.name}: damaged: {error}") from error


def _exactly(file: gzip.GzipFile, count: int) -> bytes:
    data = _take(file, count)
    if len(data) < count:
        raise UserError(f"{file.name}: cut short: it holds less than its header says")
    return data


def _shape(file: gzip.GzipFile, magic: int) -> tuple[int, ...]:
    dimensions = magic & 0xFF
    found, *shape = struct.unpack(f">{1 + dimensions}I", _exactly(file, 4 + 4 * dimensions))
    if found != magic:
        raise UserError(f"{file.name}: not the IDX file of that name: it starts with 0x{found:08x}, not 0x{magic:08x}")
    return tuple(shape)


def _rows(images_path: Path, labels_path: Path, classes: int) -> Iterator[tuple[np.ndarray, int]]:
    """Images, uint8 (28, 28), with their labels, read one at a time."""
    with gzip.open(images_path) as images, gzip.open(labels_path) as labels:
        count, *size = _shape(images, IMAGES_MAGIC)
        (labelled,) = _shape(labels, LABELS_MAGIC)
        if size != [SIDE, SIDE]:
            raise UserError(f"{images_path}: its images have {size[0]} x {size[1]} pixels, not {SIDE} x {SIDE}")
        if count != labelled:
            raise UserError(f"{images_path}: holds {count} images, but {labels_path.name} {labelled} labels")
        for row in range(count):
            image = np.frombuffer(_exactly(images, SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
            label = _exactly(labels, 1)[0]
            if label >= classes:
                raise UserError(f"{labels_path}: label {label} of image {row} is above {classes - 1}")
            yield image, label
        for file in (images, labels):
            if _take(file, 1):
                raise UserError(f"{file.name}: holds more than its header says")


class Idx(Source):
    """Four IDX files: training images and their labels, and those of the test split."""

    def __init__(self, published: list[Remote], own: Mapping[FileName, str] | None, classes: list[str]) -> None:
        digests = {str(name): digest for name, digest in (own or {}).items()}
        self.remotes = [remote.with_sha256(digests.get(remote.name)) for remote in published]
        self.classes = classes

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Get the four files."""
        return [downloads.get(remote) for remote in self.remotes]

    def read(self, raw: Path) -> Images:
        """Images as uint8 (28, 28); sample names are ``<split>/<row>``.

        Raises:
            UserError: as the samples are read: a file is damaged, or is not what its header says.
        """
        return Images(self.classes, self._samples([raw / remote.name for remote in self.remotes]))

    def _samples(self, paths: list[Path]) -> Iterator[Sample]:
        for split, (images, labels) in {"train": paths[:2], "test": paths[2:]}.items():
            for row, (image, label) in enumerate(_rows(images, labels, len(self.classes))):
                yield Sample(f"{split}/{row:05}", label, image, split)


@part("mnist", splits=("train", "test"), licence="CC BY-SA 3.0", page="https://keras.io/api/datasets/mnist")
def mnist(*, sha256: dict[FileName, Sha256] | None = None) -> Source:
    """Handwritten digits, 60,000 to train and 10,000 to test; ``sha256`` gives those of other files of this format."""
    return Idx(MNIST, sha256, [str(digit) for digit in range(10)])


@part("fashion_mnist", splits=("train", "test"), licence="MIT", page="https://github.com/zalandoresearch/fashion-mnist")
def fashion_mnist(*, sha256: dict[FileName, Sha256] | None = None) -> Source:
    """Articles of clothing, 60,000 to train and 10,000 to test; ``sha256`` as for MNIST."""
    return Idx(FASHION_MNIST, sha256, FASHION_CLASSES)
