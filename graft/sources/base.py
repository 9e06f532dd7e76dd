"""What a source of images is: it fetches its published files, and reads them one image at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image


class Sample(NamedTuple):
    """One labelled image: its name inside the source, the number of its class, and the image as published."""

    name: str
    label: int
    image: Image.Image


class Source(Protocol):
    """A function registered in this package returns one; its keyword-only parameters are what a study may set."""

    classes: Sequence[str]
    """The class names; a label is a position in them."""

    def fetch(self, raw: Path) -> list[Path]:
        """Put the published files, checksum verified, into the folder ``raw``; returns them."""
        ...

    def read(self, raw: Path) -> Iterator[Sample]:
        """Every image of the files that :meth:`fetch` put into ``raw``, always in the same order."""
        ...
