"""ELPV: 2,624 solar cells in electroluminescence images, each with the probability that the cell is defective.

Grey PNG files of 300 x 300 pixels and a label file, from the package elpv-dataset (CC BY-NC-SA 4.0). Deitsch et al.:
Automatic classification of defective photovoltaic module cells in electroluminescence images (Solar Energy 185, 2019);
Buerhop-Lutz et al.: A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery
(EU PVSEC, 2018).

The cells were cut from 44 modules, but neither file names nor labels say from which, so cells of one module cannot be
kept together when the images are split.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from graft.errors import UserError
from graft.files import replacing
from graft.registry import part
from graft.sources.archives import read_archive
from graft.sources.base import Fetcher, Images, Sample, Source

FILE = "elpv.zip"
LABELS = "labels.csv"
DIGEST = "d1c6680c06166cdf8e33dbf5ab4519592448c4755ff700f433f9bba6b95c08cb"
"""SHA-256 of the sorted lines ``<sha256>  <name>`` of the label file and the images, as version 1.0.0.post1 has them."""

PROBABILITIES = ["0.0", "0.3333333333333333", "0.6666666666666666", "1.0"]
CLASSES = ["0 %", "33 %", "67 %", "100 %"]
"""Probabilities of a defect; the authors give the four classes no names."""


def _installed() -> dict[str, Traversable]:
    """The label file and the images of the installed package, by their names below its data folder."""
    try:
        data = files("elpv_dataset") / "data"
    except ModuleNotFoundError as error:
        raise UserError("the source elpv needs the package elpv-dataset: pip install 'graft[elpv]'") from error
    images = {f"images/{file.name}": file for file in (data / "images").iterdir() if file.name.endswith(".png")}
    return {LABELS: data / LABELS} | dict(sorted(images.items()))


def _pack(found: dict[str, Traversable], path: Path) -> str:
    """Write a zip that depends on names and bytes alone; returns the digest of its files, as :data:`DIGEST` is."""
    lines = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in found.items():
            data = file.read_bytes()
            lines.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            info = zipfile.ZipInfo(name)  # dated 1980
            info.create_system = 3  # Unix, wherever this runs
            archive.writestr(info, data)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


class Elpv(Source):
    """The files of the installed package, packed into one."""

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Pack the files of the installed package.

        Raises:
            UserError: the package is not installed, or has other files than those that this source reads.
        """
        path = downloads.raw / FILE
        with replacing(path) as beside:
            try:
                digest = _pack(_installed(), beside)
            except OSError as error:
                raise UserError(f"elpv-dataset: cannot be packed into {path}: {error}") from error
            if digest != DIGEST:
                raise UserError(
                    "elpv-dataset: the installed files are not those that this source reads (the sha256 of their "
                    f"list is {digest}, not {DIGEST}); install version 1.0.0.post1"
                )
        return [path]

    def read(self, raw: Path) -> Images:
        """PNG files in the order of their names; the four probabilities of a defect are the classes.

        Raises:
            UserError: the archive is damaged, or its label file has another format.
        """
        return Images(CLASSES, _samples(raw / FILE, _labels(raw / FILE)))


def _labels(path: Path) -> dict[str, int]:
    """Labels by file name, from lines of name, probability of a defect, and kind of cell, with spaces between."""
    found = (member.data for member in read_archive(path, lambda name: name == LABELS) if member.name == LABELS)
    lines = next(found, b"").decode(errors="backslashreplace").splitlines()
    labels = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if len(fields) != 3 or fields[1] not in PROBABILITIES:
            raise UserError(
                f"{path}: line {number} of {LABELS} is not a name, one of {PROBABILITIES} and a kind of cell"
            )
        labels[fields[0]] = PROBABILITIES.index(fields[1])
    if not labels:
        raise UserError(f"{path}: holds no {LABELS} that can be read; delete it and run snakemake again")
    return labels


def _samples(path: Path, labels: dict[str, int]) -> Iterator[Sample]:
    absent = dict(labels)
    for member in read_archive(path, lambda name: name in labels):
        if member.name in labels:
            image = None if member.fault else member.data
            yield Sample(member.name, absent.pop(member.name), image, fault=member.fault)
    for name, label in absent.items():
        yield Sample(name, label, None, fault=f"is in {LABELS}, but not in the archive")


@part("elpv", splits=(), licence="CC BY-NC-SA 4.0", page="https://github.com/zae-bayern/elpv-dataset")
def elpv() -> Source:
    """Solar cells in electroluminescence images, by the probability of a defect; nothing to set."""
    return Elpv()
