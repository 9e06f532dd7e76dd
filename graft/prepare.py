"""How images become arrays: one index per data set, and one uint8 array per image size."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from graft.sources.base import Sample


def sample_id(name: str) -> str:
    """16 hexadecimal digits that depend on the image's name in its source alone."""
    return hashlib.sha1(name.encode()).hexdigest()[:16]


def build_index(samples: Iterable[Sample], classes: Sequence[str]) -> pd.DataFrame:
    """One row per image, in the source's order.

    Columns: ``sample_id``, ``label`` (position of the class), ``class_name``, ``source`` (name inside the source),
    ``sha1`` (of shape and RGB pixels), ``width`` and ``height`` (pixels, as published).
    """
    rows = []
    for name, label, image in samples:
        rgb = image.convert("RGB")
        digest = hashlib.sha1(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()
        rows.append((sample_id(name), label, classes[label], name, digest, *rgb.size))
    columns = ["sample_id", "label", "class_name", "source", "sha1", "width", "height"]
    return pd.DataFrame(rows, columns=columns)


def resize(image: Image.Image, size: int) -> np.ndarray:
    """An RGB image squashed to ``size`` x ``size``: uint8 (size, size, 3), bicubic and antialiased."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def prepare_images(samples: Iterable[Sample], count: int, size: int, path: Path) -> None:
    """Write ``count`` images, in the source's order, as uint8 (count, size, size, 3) to the NumPy file ``path``.

    Raises:
        ValueError: there are fewer samples or more.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
    for row, sample in zip(range(count), samples, strict=True):
        array[row] = resize(sample.image, size)
    array.flush()
