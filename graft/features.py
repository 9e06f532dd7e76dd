"""How the frozen part of a network is cached: it runs once per image, and models train on its activations."""

import itertools
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from graft.augmentation import augment
from graft.files import replacing, write_text
from graft.progress import lines

log = logging.getLogger(__name__)

GIB = 2**30
LINE_EVERY = 30.0  # seconds


def _is_constant(layer: Any) -> bool:
    """Whether equal inputs give equal outputs all through training."""
    random = any("SeedGenerator" in type(value).__name__ for value in vars(layer).values())
    return not random and not layer.trainable_weights and not (layer.weights and layer.trainable)


def split_network(model: Any) -> tuple[Any, Any]:
    """Cut ``model`` after the last layers whose activations training cannot change.

    Returns ``(prefix, suffix)``, which share their layers with ``model``: ``suffix(prefix(x))`` is ``model(x)``, and
    training the suffix trains the model. Branches are followed, so the prefix may have several outputs.

    Raises:
        ValueError: no frozen layer has weights, so there is nothing to cache.
    """
    import keras

    constant = {id(tensor) for tensor in model.inputs}
    cut: dict[int, Any] = {}
    for operation in model.operations:
        for node in operation._inbound_nodes:
            if not node.input_tensors:
                continue
            fixed = [id(tensor) in constant for tensor in node.input_tensors]
            if all(fixed) and (not isinstance(operation, keras.Layer) or _is_constant(operation)):
                constant |= {id(tensor) for tensor in node.output_tensors}
            else:
                cut |= {id(t): t for t, f in zip(node.input_tensors, fixed, strict=True) if f}
    tensors = list(cut.values()) if len(cut) > 1 else next(iter(cut.values()))
    prefix = keras.Model(model.input, tensors, name="prefix")
    if not prefix.weights:
        raise ValueError("no frozen layer has weights")
    return prefix, keras.Model(tensors, model.outputs[0], name="suffix")


NOT_STORED = "not_stored.txt"


def _refuse(shapes: Sequence[tuple[int, ...]], dtype: str, folder: Path) -> str:
    """Why arrays of these shapes are not stored, or nothing if the disk has room for them and a tenth more."""
    folder.mkdir(parents=True, exist_ok=True)
    need = sum(math.prod(shape) for shape in shapes) * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free
    if need < 0.9 * free:
        return ""
    return (
        f"activations need {need / GIB:.1f} GiB and the disk has {free / GIB:.1f} GiB free, so they are computed in every "
        "epoch; free some, or set features: {dtype: float16}, and delete this folder"
    )


def _reserve(path: Path) -> None:
    """Take the room of a file that is all holes; a full disk is an error here, and would kill who writes to its memory map."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _view(images: np.ndarray, rows: np.ndarray, view: int, options: Mapping[str, Any]) -> np.ndarray:
    """A view of images, counted from 1, as a pass of a training of seed 0 would show it."""
    rng, labels = np.random.default_rng([view, rows[0]]), np.zeros(len(rows), np.int64)
    return augment(images, labels, 1, rng, rows=rows, number_of_pass=view, seed=0, **options)[0]


def save_activations(
    prefix: Any,
    images: np.ndarray,
    folder: Path,
    batch_size: int = 256,
    dtype: str = "float32",
    rows: np.ndarray | None = None,
    views: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Run ``prefix`` over uint8 images (n, h, w, 3), batch by batch.

    Writes each of its outputs, n rows of ``dtype``, to ``activations<k>.npy`` in ``folder``; returns their paths. Behind
    them come n rows for each of ``views``, those of the images as :func:`graft.augmentation.augment` changes them with
    ``options``; they depend on ``rows`` and the number of the view alone. With ``rows``, those of other images are zeros.
    If all are too large for the disk, writes a text that says so instead, and returns its path.
    """
    rows = np.arange(len(images)) if rows is None else rows
    paths = [folder / f"activations{k}.npy" for k in range(len(prefix.outputs))]
    shapes = [((1 + views) * len(images), *output.shape[1:]) for output in prefix.outputs]
    if text := _refuse(shapes, dtype, folder):
        write_text(folder / NOT_STORED, f"{text}\n")
        return [folder / NOT_STORED]
    with ExitStack() as stack:
        files = [stack.enter_context(replacing(path)) for path in paths]
        arrays = [np.lib.format.open_memmap(f, "w+", dtype, shape) for f, shape in zip(files, shapes, strict=True)]
        for file in files:
            _reserve(file)
        batches = list(itertools.product(range(1 + views), range(0, len(rows), batch_size)))
        shown = "frozen part: {percentage:.0f}% of {total_fmt} batches, {remaining} left"
        for view, start in lines(log.info, LINE_EVERY, iterable=batches, bar_format=shown):
            chosen = rows[start : start + batch_size]
            seen = _view(images[chosen], chosen, view, options or {}) if view else images[chosen]
            outputs = prefix.predict_on_batch(seen)
            for array, output in zip(arrays, outputs if isinstance(outputs, list) else [outputs], strict=True):
                array[view * len(images) + chosen] = output
        for array in arrays:
            array.flush()
    return paths
