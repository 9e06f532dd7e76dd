"""Tiny ImageNet: photographs of 64 x 64 pixels in 200 classes, published as a zip archive.

The data set of Stanford's course CS231n, drawn from ImageNet (Deng et al., CVPR 2009): 500 images a class to train, 50 to
validate, and a test folder without labels, which is passed over.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from graft.errors import UserError
from graft.registry import part
from graft.sources.archives import read_archive
from graft.sources.base import Fetcher, Images, Sample, Sha256, Source
from graft.sources.remote import Remote

FOLDER = "tiny-imagenet-200"
WORDS = f"{FOLDER}/words.txt"
ANNOTATIONS = f"{FOLDER}/val/val_annotations.txt"
TRAIN = re.compile(rf"{FOLDER}/train/([^/]+)/images/[^/]+\.JPEG")
VALIDATION = re.compile(rf"{FOLDER}/val/images/([^/]+\.JPEG)")
ARCHIVE = Remote(
    "tiny-imagenet-200.zip",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    ("6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",),
    248_100_043,
)
NO_CLASS = -1


class _Contents(NamedTuple):
    """What an archive holds: the sorted ids of its classes, its validation images, and the lines of its two texts."""

    wnids: list[str]
    validation: set[str]
    words: list[str]
    annotations: list[str]


def _contents(path: Path) -> _Contents:
    wnids, validation, texts = set(), set(), {}
    for member in read_archive(path, lambda name: name in (WORDS, ANNOTATIONS)):
        if found := TRAIN.fullmatch(member.name):
            wnids.add(found[1])
        elif found := VALIDATION.fullmatch(member.name):
            validation.add(found[1])
        elif member.name in (WORDS, ANNOTATIONS) and not member.fault:
            texts[member.name] = member.data.decode(errors="backslashreplace").splitlines()
    for name in (WORDS, ANNOTATIONS):
        if name not in texts:
            raise UserError(f"{path}: holds no {name} that can be read, so it is not a copy of Tiny ImageNet")
    if not wnids:
        raise UserError(f"{path}: holds no {FOLDER}/train/<class>/images/*.JPEG, so it is not a copy of Tiny ImageNet")
    return _Contents(sorted(wnids), validation, texts[WORDS], texts[ANNOTATIONS])


def _class_names(wnids: list[str], lines: list[str]) -> list[str]:
    """The first synonym of each class; all of them, and then the id too, where that names two classes."""
    words = {wnid: text for wnid, _, text in (line.partition("\t") for line in lines)}
    names = [words.get(wnid, wnid).partition(",")[0] for wnid in wnids]
    count = Counter(names)
    names = [words[wnid] if count[name] > 1 else name for wnid, name in zip(wnids, names, strict=True)]
    count = Counter(names)
    return [f"{name} ({wnid})" if count[name] > 1 else name for wnid, name in zip(wnids, names, strict=True)]


def _annotated(path: Path, lines: list[str]) -> dict[str, str]:
    """The class id of each validation image, from lines of its name, that id, and a box, with tabs between."""
    fields = [line.split("\t") for line in lines]
    if bad := [number for number, line in enumerate(fields, 1) if len(line) < 2]:
        raise UserError(f"{path}: line {bad[0]} of {ANNOTATIONS} has no tab between an image and its class")
    return {line[0]: line[1] for line in fields}


class TinyImageNet(Source):
    """The published archive, or another of its layout, with fewer images or classes."""

    def __init__(self, sha256: str | None) -> None:
        self.archive = ARCHIVE.with_sha256(sha256)

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Get the archive."""
        return [downloads.get(self.archive)]

    def read(self, raw: Path) -> Images:
        """JPEG files in the archive's order; the published validation split, the labelled one, is the test split.

        Classes are in the order of their WordNet ids. An image that is listed but absent, or of no known class, is a
        fault, and in the second case its label is -1.

        Raises:
            UserError: the archive is damaged or has another layout; also as the samples are read.
        """
        path = raw / self.archive.name
        contents = _contents(path)
        samples = _samples(path, contents, _annotated(path, contents.annotations))
        return Images(_class_names(contents.wnids, contents.words), samples)


def _samples(path: Path, contents: _Contents, annotated: dict[str, str]) -> Iterator[Sample]:
    labels = {wnid: label for label, wnid in enumerate(contents.wnids)}
    for member in read_archive(path, lambda name: bool(TRAIN.fullmatch(name) or VALIDATION.fullmatch(name))):
        fault = member.fault
        if found := TRAIN.fullmatch(member.name):
            wnid, split = found[1], "train"
        elif found := VALIDATION.fullmatch(member.name):
            wnid, split = annotated.get(found[1], ""), "test"
            fault = fault or ("" if wnid in labels else f"its class in val_annotations.txt is {wnid or 'missing'}")
        else:
            continue
        name = member.name.removeprefix(f"{FOLDER}/")
        yield Sample(name, labels.get(wnid, NO_CLASS), None if fault else member.data, split, fault)
    for file in sorted(annotated.keys() - contents.validation):
        label = labels.get(annotated[file], NO_CLASS)
        yield Sample(f"val/images/{file}", label, None, "test", "is in val_annotations.txt, but not in the archive")


@part(
    "tiny_imagenet",
    splits=("train", "test"),
    licence="ImageNet's terms: research and education, not commercial",
    page="https://www.image-net.org/download.php",
)
def tiny_imagenet(*, sha256: Sha256 | None = None) -> Source:
    """200 classes of 500 training and 50 test images; ``sha256`` is that of another archive of this layout."""
    return TinyImageNet(sha256)
