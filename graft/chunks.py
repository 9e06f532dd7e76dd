"""A chunk of images on its way into arrays, in a process of its own; so this module imports little."""

import io
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.images import UnreadableError, decode, perceptual_hash, pixel_hash, resize

THUMBNAIL = 64


class Task(NamedTuple):
    """What a worker does with each image; ``arrays`` are the files to write to, by size."""

    arrays: Mapping[int, Path]
    how: str
    interpolation: str
    hashes: bool


class Done(NamedTuple):
    """Of each image ``(sha1, phash, width, height)``, or why it is unreadable; thumbnails by position; their sum."""

    facts: list[tuple[str, str, int, int] | str]
    thumbnails: dict[int, np.ndarray]
    total: np.ndarray


def array_header(count: int, size: int) -> bytes:
    buffer = io.BytesIO()
    shape = (count, size, size, 3)
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


HEADER = len(array_header(1, 1))  # padded for longer shapes


def write_at(path: Path, offset: int, data: bytes | memoryview) -> None:
    # Not a memory map: its dirty pages would count as memory of the process.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        view = memoryview(data).cast("B")
        while view:
            written = os.pwrite(descriptor, view, offset)
            view, offset = view[written:], offset + written
    finally:
        os.close(descriptor)


def work_on_chunk(task: Task, first: int, data: Sequence[bytes | np.ndarray | None], shown: set[int]) -> Done:
    """Decode images, whose rows start at ``first``, and write them to the arrays of each size."""
    facts: list[tuple[str, str, int, int] | str] = []
    thumbnails: dict[int, np.ndarray] = {}
    total = np.zeros((THUMBNAIL, THUMBNAIL, 3), dtype=np.uint16)  # holds the sum of a chunk of up to 257 images
    chunks = {size: np.zeros((len(data), size, size, 3), dtype=np.uint8) for size in task.arrays}
    for position, item in enumerate(data):
        try:
            image = decode(item)
        except UnreadableError as error:
            facts.append(str(error))
            continue
        pixels = np.asarray(image)
        phash = perceptual_hash(image) if task.hashes else ""
        facts.append((pixel_hash(pixels), phash, image.width, image.height))
        # Converting an image to an array, or resizing it, costs a tenth of decoding it: what is there already serves.
        square = {image.width: pixels} if image.width == image.height else {}
        for size, chunk in chunks.items():
            chunk[position] = square[size] if size in square else resize(image, size, task.how, task.interpolation)
        thumbnail = square[THUMBNAIL] if THUMBNAIL in square else resize(image, THUMBNAIL)
        total += thumbnail
        if position in shown:
            thumbnails[position] = thumbnail
    for size, chunk in chunks.items():
        write_at(task.arrays[size], HEADER + first * size * size * 3, chunk.data)
    return Done(facts, thumbnails, total)


def leave_done_chunk(folder: str, task: Task, first: int, *rest: Any) -> str:
    """What :func:`work_on_chunk` made, in a file of ``folder``, whose path fits into one write.

    A process that is killed in the middle of a long answer would leave the pipe that all of them share with half of it,
    and the one that reads it waiting for the rest for ever.
    """
    path = f"{folder}/{first}"
    Path(path).write_bytes(pickle.dumps(work_on_chunk(task, first, *rest)))
    return path


def take_done_chunk(path: str) -> Done:
    """What :func:`leave_done_chunk` left."""
    done: Done = pickle.loads(Path(path).read_bytes())
    Path(path).unlink()
    return done
