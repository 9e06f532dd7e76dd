"""What a source of images is: it fetches its published files, and reads them one image at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from graft.registry import parts
from graft.sources.remote import Remote

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""What a study may give as the digest of a file."""


class Sample(NamedTuple):
    """One labelled image of a source.

    ``name`` names it inside the source, and is there once; ``label`` is the position of its class; ``image`` is the
    file as published, not yet decoded, or decoded pixels, uint8 (height, width) or (height, width, 3). ``split`` is
    ``train``, ``validation`` or ``test`` where the source publishes that, else empty. A sample that cannot be read has
    no image, and a ``fault`` that says why.
    """

    name: str
    label: int
    image: bytes | np.ndarray | None
    split: str = ""
    fault: str = ""


class Images(NamedTuple):
    """The class names of a source, in the order of their labels, and its samples, always in the same order."""

    classes: list[str]
    samples: Iterator[Sample]


class Fetcher(Protocol):
    """Gets published files into a raw folder; not the class itself, of which reading images should not depend."""

    raw: Path
    say: Callable[[str], None]

    def get(self, remote: Remote) -> Path:
        """The path of the file in ``raw``, once it is there and verified."""
        ...


class Source(ABC):
    """A function registered in this package returns one; its keyword-only parameters are what a study may set."""

    @abstractmethod
    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Put the published files, checksum verified, into the folder ``downloads.raw``; returns them."""

    @abstractmethod
    def read(self, raw: Path) -> Images:
        """The images of the files that :meth:`fetch` put into ``raw``."""

    def state(self, raw: Path) -> str:
        """Text that changes when images that ``raw`` only points to have changed; published files never do."""
        return ""


def open_source(described: Mapping[str, Any]) -> Source:
    """The source that a study describes by its name and options."""
    options = {key: value for key, value in described.items() if key != "name"}
    source: Source = parts("graft.sources")[described["name"]].function(**options)
    return source
