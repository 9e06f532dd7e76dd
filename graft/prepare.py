"""How images become arrays: one pass decodes each image once, for the index and for every size that is asked for."""

import hashlib
import heapq
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from graft.chunks import (
    HEADER,
    THUMBNAIL,
    Done,
    Task,
    array_header,
    leave_done_chunk,
    take_done_chunk,
    work_on_chunk,
    write_at,
)
from graft.signals import end_with
from graft.sources.base import Images, Sample

CHUNK_IMAGES, CHUNK_BYTES, ARRAY_BYTES = 256, 8 * 2**20, 64 * 2**20
PER_CLASS, MOST_CLASSES = 8, 20


@dataclass(frozen=True)
class Prepared:
    """What one pass over a source found.

    ``index``: one row per image in the source's order: ``sample_id``, ``label`` (position of the class),
    ``class_name``, ``split`` (as published, or empty), ``source`` (name inside the source), ``sha1`` (of size and RGB
    pixels), ``phash`` (perceptual hash, 16 hexadecimal digits, or empty), ``width`` and ``height`` (pixels, upright).
    ``quarantine``: ``source``, ``class_name`` and ``reason`` of every image that could not be used. ``examples`` are
    the rows of the index that ``thumbnails``, uint8 (k, 64, 64, 3), show; ``mean`` is the mean image, uint8
    (64, 64, 3).
    """

    index: pd.DataFrame
    quarantine: pd.DataFrame
    examples: np.ndarray
    thumbnails: np.ndarray
    mean: np.ndarray


def sample_id(name: str) -> str:
    """16 hexadecimal digits that depend on the image's name in its source alone."""
    return hashlib.sha1(name.encode()).hexdigest()[:16]


class _Examples:
    """Draws a few images of each class as they pass: those whose hashes are lowest, whatever their order."""

    def __init__(self, classes: int) -> None:
        spread = np.linspace(0, classes - 1, min(classes, MOST_CLASSES)).round().astype(int)
        self.heaps: dict[int, list[tuple[int, int]]] = {int(label): [] for label in spread}
        self.thumbnails: dict[int, np.ndarray] = {}

    def wants(self, row: int, label: int, identity: str) -> bool:
        heap = self.heaps.get(label)
        if heap is None:
            return False
        entry = (-int(hashlib.sha1(f"example/{identity}".encode()).hexdigest(), 16), row)
        if len(heap) < PER_CLASS:
            heapq.heappush(heap, entry)
            return True
        dropped = heapq.heappushpop(heap, entry)[1]
        self.thumbnails.pop(dropped, None)
        return dropped != row

    def keep(self, thumbnails: Mapping[int, np.ndarray]) -> None:
        drawn = {row for heap in self.heaps.values() for _, row in heap}
        self.thumbnails |= {row: thumbnail for row, thumbnail in thumbnails.items() if row in drawn}


def _at_once(sizes: Iterable[int]) -> int:
    """How many images make a chunk whose arrays of these sizes fit into memory, for each of many processes."""
    return min(CHUNK_IMAGES, max(1, ARRAY_BYTES // max(1, sum(size * size * 3 for size in sizes))))


def _chunks(samples: Iterable[Sample], most: int) -> Iterator[list[Sample]]:
    chunk: list[Sample] = []
    size = 0
    for sample in samples:
        chunk.append(sample)
        size += sample.image.nbytes if isinstance(sample.image, np.ndarray) else len(sample.image or b"")
        if len(chunk) == most or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _Call(NamedTuple):
    """A chunk on its way to a worker: the row of its first image, the samples, and the positions to show."""

    first: int
    samples: list[Sample]
    shown: set[int]


def _each_done(task: Task, calls: Iterator[_Call], processes: int) -> Iterator[tuple[_Call, Done]]:
    """Every call in its order, and what :func:`work_on_chunk` made of it; few are under way at a time, for memory's sake."""
    few = list(islice(calls, 2))
    calls = chain(few, calls)
    if processes == 1 or len(few) < 2:  # starting processes would take longer
        for call in calls:
            yield call, work_on_chunk(task, call.first, [sample.image for sample in call.samples], call.shown)
        return
    # Not multiprocessing, whose processes run the main module first: here that is a whole job of the workflow.
    from loky import ProcessPoolExecutor

    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(processes, initializer=end_with, initargs=(os.getpid(),)) as pool,
    ):
        waiting: deque[tuple[_Call, Any]] = deque()
        for call in calls:
            images = [sample.image for sample in call.samples]
            call = call._replace(samples=[sample._replace(image=None) for sample in call.samples])
            waiting.append((call, pool.submit(leave_done_chunk, folder, task, call.first, images, call.shown)))
            if len(waiting) > 2 * processes:
                yield waiting[0][0], take_done_chunk(waiting.popleft()[1].result())
        while waiting:
            yield waiting[0][0], take_done_chunk(waiting.popleft()[1].result())


def _finish_array(path: Path, size: int, count: int, dropped: Sequence[int]) -> None:
    """Close the gaps that ``dropped`` rows of ``count`` left in an array, and write its header."""
    kept = np.delete(np.arange(count), dropped)
    if dropped:
        rows = np.memmap(path, np.uint8, "r+", offset=HEADER, shape=(count, size * size * 3))
        step = _at_once([size])
        for start in range(dropped[0], len(kept), step):
            part = kept[start : start + step]
            rows[start : start + len(part)] = rows[part]
        rows.flush()
    write_at(path, 0, array_header(len(kept), size))
    os.truncate(path, HEADER + len(kept) * size * size * 3)


class _Table:
    """Rows that become a table bit by bit, for texts take much less memory there."""

    def __init__(self, **columns: pa.DataType) -> None:
        self.schema = pa.schema(columns)
        self.rows: list[tuple[Any, ...]] = []
        self.parts = [self.schema.empty_table()]

    def add(self, row: tuple[Any, ...]) -> None:
        self.rows.append(row)
        if len(self.rows) == 10_000:
            self._pack()

    def _pack(self) -> None:
        columns = zip(*self.rows, strict=True) if self.rows else [[] for _ in self.schema]
        self.parts.append(pa.table(list(columns), schema=self.schema))
        self.rows = []

    def whole(self) -> pd.DataFrame:
        self._pack()
        table: pd.DataFrame = pa.concat_tables(self.parts).to_pandas()
        return table


TEXT, NUMBER = pa.string(), pa.int64()


def prepare(
    images: Images,
    arrays: Mapping[int, Path],
    *,
    resize: str = "squash",
    interpolation: str = "bicubic",
    processes: int = 1,
    hashes: bool = True,
) -> Prepared:
    """Decode every image once: index them, and write uint8 (n, size, size, 3) to the NumPy file of each size.

    Rows of the arrays are those of the index. ``hashes`` says whether to compute perceptual ones, which takes as long as
    decoding. Memory does not grow with the pixels of the data, whatever the number of ``processes``.
    """
    texts = dict.fromkeys(("class_name", "split", "source", "sha1", "phash"), TEXT)
    index = _Table(sample_id=TEXT, label=NUMBER, **texts, width=NUMBER, height=NUMBER)
    quarantine = _Table(source=TEXT, class_name=TEXT, reason=TEXT)
    examples = _Examples(len(images.classes))
    seen: set[str] = set()
    total = np.zeros((THUMBNAIL, THUMBNAIL, 3), dtype=np.uint64)
    dropped: list[int] = []
    count = 0

    def checked() -> Iterator[Sample]:
        for sample in images.samples:
            identity = sample_id(sample.name)
            fault = sample.fault or ("its name occurs twice" if identity in seen else "")
            if not fault:
                seen.add(identity)
            yield sample._replace(image=None, fault=fault) if fault else sample

    def calls() -> Iterator[_Call]:
        nonlocal count
        for samples in _chunks(checked(), _at_once(arrays)):
            wanted = {k for k, s in enumerate(samples) if not s.fault and examples.wants(count + k, s.label, s.name)}
            yield _Call(count, samples, wanted)
            count += len(samples)

    for call, done in _each_done(Task(arrays, resize, interpolation, hashes), calls(), processes):
        for row, (sample, facts) in enumerate(zip(call.samples, done.facts, strict=True), call.first):
            class_name = images.classes[sample.label]
            if isinstance(facts, str):
                dropped.append(row)
                quarantine.add((sample.name, class_name, sample.fault or facts))
                continue
            sha1, phash, width, height = facts
            named = sample_id(sample.name), sample.label, class_name, sample.split, sample.name
            index.add((*named, sha1, phash, width, height))
        examples.keep({call.first + position: thumbnail for position, thumbnail in done.thumbnails.items()})
        total += done.total
    for size, path in arrays.items():
        _finish_array(path, size, count, dropped)
    rows = np.array(sorted(examples.thumbnails), dtype=np.int64)
    shown = [examples.thumbnails[row] for row in rows]
    return Prepared(
        index.whole(),
        quarantine.whole(),
        rows - np.searchsorted(dropped, rows),
        np.array(shown, dtype=np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL, 3),
        (total // max(count - len(dropped), 1)).astype(np.uint8),
    )
