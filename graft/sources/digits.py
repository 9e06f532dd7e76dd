"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels, no download."""

import gzip
import shutil
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from graft.errors import UserError
from graft.files import replacing, sha256
from graft.registry import part
from graft.sources.base import Fetcher, Images, Sample, Source

FILE = "digits.csv.gz"
SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
BRIGHTEST = 16


class Digits(Source):
    """Test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998, UCI repository, CC BY 4.0)."""

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Copy the file out of the installed scikit-learn.

        Raises:
            UserError: that scikit-learn carries another file than the one this reader was written for.
        """
        with as_file(files("sklearn.datasets.data") / FILE) as installed:
            if sha256(installed) != SHA256:
                raise UserError(f"{installed}: not the digits that this source reads (sha256 is not {SHA256})")
            with replacing(downloads.raw / FILE) as beside:
                shutil.copyfile(installed, beside)
        return [downloads.raw / FILE]

    def read(self, raw: Path) -> Images:
        """Grey images of 8 x 8 pixels; sample names are row numbers."""
        return Images([str(digit) for digit in range(10)], _samples(raw / FILE))


def _samples(path: Path) -> Iterator[Sample]:
    """From rows of 64 grey values from 0 to 16 and a digit."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
    for number, row in enumerate(rows):
        grey = np.round(row[:-1].reshape(8, 8) * (255 / BRIGHTEST)).astype(np.uint8)
        yield Sample(f"{number:04}", int(row[-1]), grey)


@part("digits", splits=(), licence="CC BY 4.0", page="https://archive.ics.uci.edu/dataset/80")
def digits() -> Source:
    """scikit-learn's handwritten digits; nothing to set."""
    return Digits()
