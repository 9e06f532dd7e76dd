"""New images, from files to what an ensemble says of them, prepared as those that its networks learned from."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from graft.errors import UserError
from graft.labelling import Ensemble, Labeller
from graft.prepare import prepare
from graft.sources.archives import MEMBER_BYTES, is_junk
from graft.sources.base import Images, Sample
from graft.sources.folder import ENDINGS

MOST, MOST_BYTES = 10_000, 2**30
"""Images that are prepared at a time, and the size of their arrays; the networks are loaded once for each such part."""


class Labelled(NamedTuple):
    """Images in the order that they were named in: their log probabilities (n, classes) float32, and of those that cannot
    be read, why."""

    paths: list[Path]
    log_prob: np.ndarray
    unreadable: dict[Path, str]


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """These files, each once, and in place of a folder all in it, however deep, whose names end as those of images do.

    Files in a folder are in the order of their names; hidden ones, and folders that are links, are passed over.

    Raises:
        UserError: there is no such file or folder, or a folder holds no image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not (path.is_dir() or path.is_file()):
            raise UserError(f"{path}: no such file or folder" if not path.exists() else f"{path}: no file or folder")
        images = sorted(_in_folder(path)) if path.is_dir() else [path]
        if not images:
            raise UserError(f"{path}: no images in it, files that end in {', '.join(ENDINGS)}")
        found += images
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names if name.lower().endswith(ENDINGS)):
            if not is_junk(path.relative_to(folder).as_posix()):
                yield path


def _samples(paths: Sequence[Path]) -> Iterator[Sample]:
    """The files as a source has them, named by their number, for any file has one."""
    for k, path in enumerate(paths):
        image, fault = None, ""
        try:
            if not path.is_file():
                fault = "is no file"
            elif path.stat().st_size > MEMBER_BYTES:
                fault = f"has more than {MEMBER_BYTES:,} bytes"
            else:
                image = path.read_bytes()
        except OSError as error:
            fault = f"cannot be read: {error.strerror}"
        yield Sample(str(k), 0, image, fault=fault)


def _label(ensemble: Ensemble, label: Labeller, paths: Sequence[Path]) -> Labelled:
    with TemporaryDirectory() as folder:
        files = {size: Path(folder, f"{size}.npy") for size in ensemble.sizes}
        images = Images([""], _samples(paths))
        found = prepare(images, files, **ensemble.preparation, processes=os.cpu_count() or 1, hashes=False)
        rows = np.arange(len(found.index))
        log_prob = np.empty((0, len(ensemble.classes)), np.float32)
        if len(rows):
            log_prob = label(lambda size: np.load(files[size], mmap_mode="r", allow_pickle=False), rows)
    unreadable = zip(found.quarantine["source"], found.quarantine["reason"], strict=True)
    return Labelled(
        [paths[int(k)] for k in found.index["source"]], log_prob, {paths[int(k)]: reason for k, reason in unreadable}
    )


def label_files(ensemble: Ensemble, label: Labeller, paths: Sequence[Path]) -> Iterator[Labelled]:
    """What the ensemble, of which ``label`` is the labeller, says of images in files; so many at a time as fit into memory.

    Images are decoded and resized as in the preparation of a data set; one that cannot be, or has more than 100 million
    pixels, stops none of the others.
    """
    bytes_each = sum(3 * size**2 for size in ensemble.sizes)
    step = max(1, min(MOST, MOST_BYTES // bytes_each))
    for start in range(0, len(paths), step):
        yield _label(ensemble, label, paths[start : start + step])
