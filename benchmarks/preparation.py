"""How fast images become arrays, against a bare Pillow loop over the same files, and how much memory that takes.

    python benchmarks/preparation.py FOLDER [--processes 2] [--runs 5] [--images 500000]

FOLDER holds tiny-imagenet-200.zip, published or reduced. Prints, as medians of ratios within a run:

- `prepare` (index, pixel hashes, thumbnails, mean image, one array of the images' own size) against a loop that only
  opens each image and decodes it, both with the same number of processes; perceptual hashes and the search for near
  duplicates are timed apart;
- batches of 128 shuffled images from the array, against decoding them from the archive;
- the peak memory of that stage, all of its processes together, and for a generated set of 32-px images.
"""

import argparse
import io
import multiprocessing
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from PIL import Image

from graft.duplicates import near_hashes
from graft.files import sha256
from graft.prepare import Prepared, prepare
from graft.sources.base import Images, Sample, open_source

SIZE, SMALL, BATCH, CHUNK = 64, 32, 128, 500
_archives: dict[int, zipfile.ZipFile] = {}


class Ratios(NamedTuple):
    """What one run compares."""

    prepare: float
    hashes: float
    batches: float


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


# -- the bare loop -------------------------------------------------------------------------------------------------------


def decode(archive: Path, names: list[str]) -> None:
    """Decode images of an archive, which each process opens once."""
    if os.getpid() not in _archives:
        _archives[os.getpid()] = zipfile.ZipFile(archive)
    for name in names:
        with Image.open(io.BytesIO(_archives[os.getpid()].read(name))) as image:
            image.convert("RGB")


def bare_loop(archive: Path, names: list[str], processes: int) -> None:
    chunks = [(archive, names[start : start + CHUNK]) for start in range(0, len(names), CHUNK)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.starmap(decode, chunks, chunksize=1)


# -- ours ----------------------------------------------------------------------------------------------------------------


def whole_stage(read: Callable[[], Images], size: int, folder: Path, processes: int) -> Prepared:
    """What the job that makes the index does."""
    prepared = prepare(read(), {size: folder / "images.npy"}, processes=processes)
    prepared.index.to_parquet(folder / "index.parquet", index=False)
    near_hashes(prepared.index["phash"]).to_parquet(folder / "near.parquet", index=False)
    return prepared


def generated(array: np.ndarray, count: int) -> Images:
    """``count`` crops of 32 x 32 pixels of real images, uint8 (n, 64, 64, 3), each at another place or of another image."""
    places = [(y, x) for y in range(0, SIZE - SMALL, 3) for x in range(0, SIZE - SMALL, 3)]

    def crops() -> Iterator[Sample]:
        for y, x in places:
            for row, image in enumerate(array):
                yield Sample(f"{row}-{y}-{x}", row % 100, np.ascontiguousarray(image[y : y + SMALL, x : x + SMALL]))

    return Images([f"class {k}" for k in range(100)], islice(crops(), count))


def peak_memory(call: Callable[[], Any]) -> tuple[float, float]:
    """Peak of the proportional set sizes of a forked process that runs ``call`` and of its children, in MiB, and seconds."""
    process = multiprocessing.get_context("fork").Process(target=call)
    peak = 0.0
    start = time.perf_counter()
    process.start()
    root = psutil.Process(process.pid)
    while process.is_alive():
        total = 0
        for one in [root, *root.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        peak = max(peak, total / 2**20)
        time.sleep(0.1)
    process.join()
    if process.exitcode:
        raise SystemExit(f"the measured process ended with {process.exitcode}")
    return peak, time.perf_counter() - start


def one_run(
    read: Callable[[], Images], archive: Path, names: list[str], folder: Path, processes: int, seed: int
) -> Ratios:
    """Time everything once, in turn."""
    arrays = {SIZE: folder / "images.npy"}
    bare, _ = timed(lambda: bare_loop(archive, names, processes))
    ours, _ = timed(lambda: prepare(read(), arrays, processes=processes, hashes=False))
    hashed, prepared = timed(lambda: prepare(read(), arrays, processes=processes))
    near, _ = timed(lambda: near_hashes(prepared.index["phash"]))

    batches = np.random.default_rng(seed).permutation(len(names))[: 40 * BATCH].reshape(-1, BATCH)
    images = np.load(arrays[SIZE], mmap_mode="r")
    stored, _ = timed(lambda: [np.asarray(images[np.sort(rows)]) for rows in batches])
    decoded, _ = timed(lambda: [decode(archive, [names[row] for row in rows]) for rows in batches])
    print(
        f"bare loop {bare:.2f} s, prepare {ours:.2f} s, with perceptual hashes {hashed:.2f} s, search {near:.2f} s; "
        f"a batch stored {1000 * stored / 40:.2f} ms, decoded {1000 * decoded / 40:.1f} ms"
    )
    return Ratios(bare / ours, (hashed - ours) / bare, decoded / stored)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", type=int, default=500_000)
    arguments = parser.parse_args()
    processes = arguments.processes
    archive = arguments.folder / "tiny-imagenet-200.zip"
    described = {"name": "tiny_imagenet", "sha256": sha256(archive)}

    def read() -> Images:
        return open_source(described).read(arguments.folder)

    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(".JPEG") and "/test/" not in name]
    print(f"{len(names):,} images of {archive.name}, {processes} processes")
    with tempfile.TemporaryDirectory() as temporary:
        folder, small = Path(temporary), Path(temporary) / "small"
        small.mkdir()
        runs = [one_run(read, archive, names, folder, processes, seed) for seed in range(arguments.runs)]
        for what, ratios in zip(
            ("speed of prepare (bare loop: 1)", "perceptual hashes (bare loop: 1)", "speed of batches (decoding: 1)"),
            zip(*runs, strict=True),
            strict=True,
        ):
            print(
                f"{what}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, n = {len(runs)})"
            )
        peak, seconds = peak_memory(lambda: whole_stage(read, SIZE, folder, processes))
        print(f"peak memory of the stage: {peak:.0f} MiB ({seconds:.0f} s)")
        source = np.load(folder / "images.npy", mmap_mode="r")
        crops = generated(source, arguments.images)
        peak, seconds = peak_memory(lambda: whole_stage(lambda: crops, SMALL, small, processes))
        print(f"peak memory, {arguments.images:,} images of {SMALL} px: {peak:.0f} MiB ({seconds:.0f} s)")


if __name__ == "__main__":
    main()
