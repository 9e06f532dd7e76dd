import io
import os
import pickle
import select
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

import graft.prepare
from graft.chunks import Task, leave_done_chunk, take_done_chunk
from graft.errors import UserError
from graft.images import resize
from graft.prepare import Prepared, prepare, sample_id
from graft.sources.base import Images, Sample, open_source
from graft.sources.download import Downloads

PHOTOS = load_sample_images().images  # two, uint8 (427, 640, 3)
DIGITS = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
TARGET = load_digits().target
CLASSES = [str(digit) for digit in range(10)]


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def digits(count: int) -> list[Sample]:
    return [Sample(f"{k:04}", int(TARGET[k]), DIGITS[k]) for k in range(count)]


def changed(samples: Sequence[Sample], changes: Mapping[int, Mapping[str, Any]]) -> list[Sample]:
    return [sample._replace(**changes.get(row, {})) for row, sample in enumerate(samples)]


def mixed(count: int) -> list[Sample]:
    """Crops of photographs, of many sizes, decoded or not, some of which cannot be used."""
    samples = []
    for k in range(count):
        top, left, height, width = 3 * k % 300, 7 * k % 500, 20 + k % 37, 20 + k % 61
        crop = np.ascontiguousarray(PHOTOS[k % 2][top : top + height, left : left + width])
        image = crop if k % 3 == 0 else encoded(crop, "JPEG" if k % 3 == 1 else "PNG")
        samples.append(Sample(f"{k:04}", k % 2, image, ("train", "test")[k % 5 == 0]))
    faults = {row: {"image": None, "fault": "is not in the archive"} for row in (0, 301, 302)}
    bad = {row: {"image": b"no image"} for row in (4, 255, 256, count - 1)}
    again = {row: {"name": "0001"} for row in (5, 290)}
    return changed(samples, faults | bad | again)


def run(
    samples: Iterable[Sample], folder: Path, sizes: Sequence[int] = (16,), classes: Sequence[str] = CLASSES, **how: Any
) -> tuple[Prepared, dict[int, np.ndarray]]:
    """What :func:`prepare` found, and the arrays that it wrote, read as later stages do."""
    folder.mkdir(exist_ok=True)
    paths = {size: folder / f"{size}.npy" for size in sizes}
    found = prepare(Images(list(classes), iter(samples)), paths, **how)
    return found, {size: np.load(path, mmap_mode="r", allow_pickle=False) for size, path in paths.items()}


def assert_same(one: Prepared, other: Prepared) -> None:
    pd.testing.assert_frame_equal(one.index, other.index)
    pd.testing.assert_frame_equal(one.quarantine, other.quarantine)
    for name in ("examples", "thumbnails", "mean"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- index and arrays ----------------------------------------------------------------------------------------------------


def test_the_index_of_the_digits(tmp_path: Path) -> None:
    source = open_source({"name": "digits"})
    source.fetch(Downloads(tmp_path))
    found = prepare(source.read(tmp_path), {8: tmp_path / "8.npy"})
    index = found.index
    assert list(index.columns) == [
        *("sample_id", "label", "class_name", "split", "source", "sha1", "phash", "width", "height")
    ]
    assert index["label"].tolist() == load_digits().target.tolist()
    assert index["class_name"].tolist() == [str(digit) for digit in load_digits().target]
    assert index["source"].tolist() == [f"{row:04}" for row in range(1797)]
    assert index["sample_id"].is_unique
    assert set(index["sha1"].str.fullmatch("[0-9a-f]{40}")) == {True}
    assert set(index["width"]) == set(index["height"]) == {8}
    assert set(index["split"]) == {""}
    assert found.quarantine.empty
    assert index["phash"].tolist()[:5] == [str(imagehash.phash(Image.fromarray(DIGITS[k]))) for k in range(5)]
    np.testing.assert_array_equal(np.load(tmp_path / "8.npy"), np.stack([DIGITS] * 3, axis=-1))


def test_an_index_says_what_the_source_says_and_the_size_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    buffer = io.BytesIO()
    Image.fromarray(PHOTOS[1]).save(buffer, "JPEG", exif=exif)
    samples = [Sample("a/china.jpg", 1, encoded(PHOTOS[0]), "test"), Sample("b/flower.jpg", 0, buffer.getvalue())]
    found, _ = run(samples, tmp_path, classes=["flower", "building"])
    columns = ["label", "class_name", "split", "source", "width", "height"]
    assert found.index[columns].to_numpy().tolist() == [
        [1, "building", "test", "a/china.jpg", 640, 427],
        [0, "flower", "", "b/flower.jpg", 427, 640],
    ]


def test_a_sample_id_depends_on_the_name_alone(tmp_path: Path) -> None:
    samples = digits(30)
    forward, backward = (
        run(order, tmp_path)[0].index.set_index("source")["sample_id"] for order in (samples, samples[::-1])
    )
    assert forward.to_dict() == backward.to_dict()
    assert forward["0007"] == sample_id("0007")
    assert sample_id("abc") == "a9993e364706816a"  # the standard's example of SHA-1, cut


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
@pytest.mark.parametrize("interpolation", ["nearest", "lanczos"])
def test_the_array_is_a_plain_file_of_resized_images_in_the_sources_order(
    tmp_path: Path, how: str, interpolation: str
) -> None:
    samples = [Sample(name, 0, image) for name, image in (("b", PHOTOS[1]), ("a", encoded(PHOTOS[0])))]
    _, arrays = run(samples, tmp_path, [32], resize=how, interpolation=interpolation)
    assert (arrays[32].shape, arrays[32].dtype, arrays[32].flags.c_contiguous) == ((2, 32, 32, 3), np.uint8, True)
    expected = [resize(Image.fromarray(photo), 32, how, interpolation) for photo in PHOTOS[::-1]]
    np.testing.assert_array_equal(arrays[32], expected)
    assert (tmp_path / "32.npy").stat().st_size == 128 + 2 * 32 * 32 * 3


def test_several_sizes_at_once_are_those_of_each_alone(tmp_path: Path) -> None:
    sizes = [8, 20, 64]
    samples = [*digits(20), *(sample._replace(name=f"m{sample.name}") for sample in mixed(400)[:40])]
    together, _ = run(samples, tmp_path / "all", sizes)
    for size in sizes:
        alone, _ = run(samples, tmp_path / "one", [size])
        assert_same(alone, together)
        assert files_in(tmp_path / "one")[f"{size}.npy"] == files_in(tmp_path / "all")[f"{size}.npy"]


def test_an_index_may_be_made_without_arrays_and_arrays_without_perceptual_hashes(tmp_path: Path) -> None:
    samples = digits(10)
    whole, arrays = run(samples, tmp_path)
    index_alone, _ = run(samples, tmp_path, [])
    assert_same(index_alone, whole)
    without, same = run(samples, tmp_path, hashes=False)
    pd.testing.assert_frame_equal(without.index, whole.index.assign(phash=pd.Series([""] * 10, dtype="str")))
    np.testing.assert_array_equal(same[16], arrays[16])


def test_a_file_that_is_there_already_is_replaced_whole(tmp_path: Path) -> None:
    run(digits(30), tmp_path / "before")
    run(digits(10), tmp_path / "fresh")
    found, _ = run(digits(10), tmp_path / "before")
    assert len(found.index) == 10
    assert files_in(tmp_path / "before") == files_in(tmp_path / "fresh")


def test_the_mean_image_is_that_of_squashed_thumbnails(tmp_path: Path) -> None:
    found, _ = run([Sample(str(k), 0, photo) for k, photo in enumerate(PHOTOS)], tmp_path, resize="crop")
    squashed = [np.asarray(Image.fromarray(photo).resize((64, 64), Image.Resampling.BICUBIC)) for photo in PHOTOS]
    np.testing.assert_array_equal(found.mean, np.mean(squashed, axis=0).astype(np.uint8))


def test_the_mean_of_many_white_images_is_white(tmp_path: Path) -> None:
    white = np.full((4, 4), 255, dtype=np.uint8)
    bad = [Sample("bad", 0, b"no image")]
    found, _ = run([*bad, *(Sample(str(k), 0, white) for k in range(600))], tmp_path, hashes=False)
    assert (found.mean == 255).all()


# -- images that cannot be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [[0], [9], [3, 4, 5], [0, 1, 8, 9], [2, 5, 7], range(9)], ids=lambda rows: "-".join(map(str, rows))
)
def test_the_gap_of_unreadable_images_is_closed_in_every_array(tmp_path: Path, bad: Sequence[int]) -> None:
    samples = changed(digits(10), {row: {"image": b"no image"} for row in bad})
    sound = [sample for row, sample in enumerate(digits(10)) if row not in bad]
    found, _ = run(samples, tmp_path / "gaps", [8, 12])
    expected, _ = run(sound, tmp_path / "whole", [8, 12])
    pd.testing.assert_frame_equal(found.index, expected.index)
    assert files_in(tmp_path / "gaps") == files_in(tmp_path / "whole")
    np.testing.assert_array_equal(found.mean, expected.mean)
    assert found.quarantine["source"].tolist() == [f"{row:04}" for row in bad]
    assert set(found.quarantine["reason"]) == {"is not an image, whatever its name says"}


def test_a_gap_is_closed_across_chunks(tmp_path: Path) -> None:
    bad = [0, 100, *range(200, 300), 511, 512, 700]
    samples = changed(digits(800), {row: {"image": b""} for row in bad})
    found, arrays = run(samples, tmp_path, [8], hashes=False)
    kept = np.delete(np.arange(800), bad)
    np.testing.assert_array_equal(arrays[8], np.stack([DIGITS[kept]] * 3, axis=-1))
    assert found.index["label"].tolist() == TARGET[kept].tolist()


def test_the_quarantine_says_why_in_the_sources_order(tmp_path: Path) -> None:
    changes = {
        1: {"image": None, "fault": "is not in the archive"},
        2: {"image": b""},
        3: {"name": "0000"},
        5: {"image": b"<html>"},
        7: {"image": None, "fault": "leads out of the archive"},
        8: {"name": "0005"},  # of which the first cannot be read
    }
    found, arrays = run(changed(digits(10), changes), tmp_path)
    assert found.quarantine.to_numpy().tolist() == [
        ["0001", "1", "is not in the archive"],
        ["0002", "2", "is empty (0 bytes)"],
        ["0000", "3", "its name occurs twice"],
        ["0005", "5", "is not an image, whatever its name says"],
        ["0007", "7", "leads out of the archive"],
        ["0005", "8", "its name occurs twice"],
    ]
    assert list(found.quarantine.columns) == ["source", "class_name", "reason"]
    assert found.index["label"].tolist() == [0, 4, 6, 9]
    np.testing.assert_array_equal(arrays[16][1], resize(Image.fromarray(np.stack([DIGITS[4]] * 3, axis=-1)), 16))


@pytest.mark.parametrize("count", [0, 7, 300])
def test_a_source_without_one_usable_image_gives_empty_tables_and_arrays(tmp_path: Path, count: int) -> None:
    samples = [Sample(str(k), 0, b"no image") for k in range(count)]
    found, arrays = run(samples, tmp_path, [8, 16])
    full, _ = run(digits(3), tmp_path / "full")
    assert {size: array.shape for size, array in arrays.items()} == {8: (0, 8, 8, 3), 16: (0, 16, 16, 3)}
    assert (len(found.index), len(found.quarantine)) == (0, count)
    pd.testing.assert_series_equal(found.index.dtypes, full.index.dtypes)
    pd.testing.assert_series_equal(found.quarantine.dtypes, full.quarantine.dtypes)
    assert (found.examples.tolist(), found.thumbnails.shape) == ([], (0, 64, 64, 3))
    assert not found.mean.any()


# -- examples ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_to_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_IMAGES", 7)


def many_classes(classes: int, each: int) -> tuple[list[Sample], list[str]]:
    names = [f"class {k}" for k in range(classes)]
    return [Sample(f"{k:04}", k % classes, DIGITS[k]) for k in range(classes * each)], names


@pytest.mark.parametrize(("classes", "shown"), [(1, 1), (3, 3), (20, 20), (21, 20), (57, 20)])
def test_examples_are_a_few_of_each_class_of_classes_from_the_first_to_the_last(
    tmp_path: Path, few_to_a_chunk: None, classes: int, shown: int
) -> None:
    samples, names = many_classes(classes, 12)
    found, _ = run(samples, tmp_path, classes=names, hashes=False)
    counts = found.index.iloc[found.examples]["label"].value_counts()
    assert (len(counts), set(counts)) == (shown, {8})
    assert {counts.index.min(), counts.index.max()} == {0, classes - 1}


def test_a_class_with_fewer_images_shows_all_of_them(tmp_path: Path) -> None:
    samples, names = many_classes(4, 5)
    found, _ = run(samples, tmp_path, classes=names)
    assert found.examples.tolist() == list(range(20))


def test_images_that_a_source_reports_as_faulty_take_no_examples_place(tmp_path: Path) -> None:
    samples, names = many_classes(2, 12)
    faults = {row: {"image": None, "fault": "is gone"} for row in range(8)}
    found, _ = run(changed(samples, faults), tmp_path, classes=names)
    assert len(found.examples) == 16


def test_which_examples_are_drawn_depends_on_their_names_alone(tmp_path: Path, few_to_a_chunk: None) -> None:
    samples, names = many_classes(5, 40)
    order = np.random.default_rng(0).permutation(len(samples))
    drawn = []
    for arranged in (samples, samples[::-1], [samples[k] for k in order]):
        found, _ = run(arranged, tmp_path, classes=names, hashes=False)
        drawn.append({*found.index["source"].iloc[found.examples]})
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(drawn[0]) == 40
    assert drawn[0] != {sample.name for sample in samples[:40]}


def test_thumbnails_show_the_rows_that_they_say_also_after_unreadable_images(
    tmp_path: Path, few_to_a_chunk: None
) -> None:
    samples, names = many_classes(5, 30)
    bad = {row: {"image": b"no image"} for row in (0, 1, 13, 14, 40, 41, 42, 77, 149)}
    gone = {row: {"image": None, "fault": "is gone"} for row in (3, 60)}
    found, arrays = run(changed(samples, bad | gone), tmp_path, [64], classes=names, hashes=False)
    assert len(found.examples) > 30
    assert (np.diff(found.examples) > 0).all()
    np.testing.assert_array_equal(found.thumbnails, arrays[64][found.examples])
    sources = found.index["source"].iloc[found.examples]
    expected = [resize(Image.fromarray(np.stack([DIGITS[int(name)]] * 3, axis=-1)), 64) for name in sources]
    np.testing.assert_array_equal(found.thumbnails, expected)


# -- chunks and processes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, dict[str, bytes]]:
    """The mixed samples, prepared in one process."""
    folder = tmp_path_factory.mktemp("whole")
    found, _ = run(mixed(400), folder, [8, 24])
    return found, files_in(folder)


def test_the_mixed_samples_are_what_pillow_makes_of_them(tmp_path: Path, whole: tuple[Prepared, Any]) -> None:
    found, files = whole
    usable = set(range(400)) - {0, 4, 5, 255, 256, 290, 301, 302, 399}
    by_name = {sample.name: sample for row, sample in enumerate(mixed(400)) if row in usable}
    assert found.index["source"].tolist() == sorted(by_name)
    images = np.load(io.BytesIO(files["24.npy"]))
    for row, name in enumerate(found.index["source"]):
        published = by_name[name].image
        image = (
            Image.open(io.BytesIO(published)) if isinstance(published, bytes) else Image.fromarray(np.array(published))
        )
        expected = image.resize((24, 24), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(images[row], np.asarray(expected), err_msg=name)


@pytest.mark.parametrize(("images", "size"), [(1, 2**23), (7, 2**23), (256, 5000), (256, 1)])
def test_how_samples_are_cut_into_chunks_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: tuple[Prepared, dict[str, bytes]],
    images: int,
    size: int,
) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_IMAGES", images)
    monkeypatch.setattr(graft.prepare, "CHUNK_BYTES", size)
    found, _ = run(mixed(400), tmp_path, [8, 24])
    assert_same(found, whole[0])
    assert files_in(tmp_path) == whole[1]


def workers(process: psutil.Process | None = None) -> list[psutil.Process]:
    """The processes below ``process``, by default this one, that work for it."""
    found = []
    for child in (process or psutil.Process()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if any("popen_loky" in word for word in child.cmdline()):
                found.append(child)
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_several_processes_write_the_same_bytes_and_tables_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Prepared, dict[str, bytes]]
) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_IMAGES", 20)
    seen: set[int] = set()

    def watched() -> Iterator[Sample]:
        for sample in mixed(400):
            if sample.name == "0399":
                seen.update(worker.pid for worker in workers())
            yield sample

    found, _ = run(watched(), tmp_path, [8, 24], processes=2)
    assert_same(found, whole[0])
    assert files_in(tmp_path) == whole[1]
    assert len(seen) == 2
    assert not workers()


def test_an_error_of_the_source_comes_out_and_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_IMAGES", 4)

    def samples() -> Iterator[Sample]:
        yield from digits(60)
        assert workers()
        raise UserError("digits.csv.gz: cut short")

    with pytest.raises(UserError, match=r"^digits\.csv\.gz: cut short$"):
        run(samples(), tmp_path, processes=2)
    assert not workers()


def test_a_system_that_writes_only_a_part_at_a_time_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(digits(30), tmp_path / "whole")
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:1000], offset))
    run(digits(30), tmp_path / "parts")
    assert files_in(tmp_path / "parts") == files_in(tmp_path / "whole")


def test_few_images_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loky", None)
    found, _ = run(digits(256), tmp_path, processes=8)
    assert len(found.index) == 256


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("encode", [False, True], ids=["decoded", "encoded"])
def test_memory_does_not_grow_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: bool, processes: int
) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_BYTES", 2**18)
    count, side = 2000, 64
    bytes_of = PHOTOS[0].tobytes()

    def samples() -> Iterator[Sample]:
        yield Sample("bad", 0, b"no image")  # so that a gap is closed too
        for k in range(count):
            start = 311 * k % (len(bytes_of) - side * side * 3)
            pixels = bytes_of[start : start + side * side * 3]
            image = np.frombuffer(bytearray(pixels), np.uint8).reshape(side, side, 3)
            yield Sample(str(k), 0, b"P6 64 64 255\n" + pixels if encode else image)

    tracemalloc.start()
    try:
        found, arrays = run(samples(), tmp_path, [side], hashes=False, processes=processes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.index) == count
    assert arrays[side].nbytes == count * side * side * 3 > 24e6
    assert peak < 6e6


def test_memory_does_not_grow_with_the_size_of_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.prepare, "ARRAY_BYTES", 2**20)
    samples = [Sample("bad", 0, b"no image"), *digits(255)]  # one chunk, were it not for the arrays
    tracemalloc.start()
    try:
        _, arrays = run(samples, tmp_path, [160, 192], hashes=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(array.nbytes for array in arrays.values()) > 40e6
    assert peak < 8e6


@pytest.mark.filterwarnings("ignore:A worker stopped:UserWarning")
def test_a_worker_that_is_killed_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.prepare, "CHUNK_IMAGES", 4)

    def samples() -> Iterator[Sample]:
        for sample in digits(1797):
            if sample.name == "0060":
                workers()[0].kill()
            yield sample

    with pytest.raises(RuntimeError, match="terminated"):
        run(samples(), tmp_path, processes=2)
    assert not workers()


def test_what_a_worker_sends_is_sent_at_once_so_that_none_is_killed_in_the_midst_of_it(tmp_path: Path) -> None:
    images = [sample.image for sample in digits(256)]
    task = Task({8: tmp_path / "8.npy"}, "squash", "bicubic", True)
    sent = leave_done_chunk(str(tmp_path), task, 10**9, images, set(range(256)))
    assert len(pickle.dumps(sent)) < select.PIPE_BUF - 1024  # what the pool adds to it
    done = take_done_chunk(sent)
    assert len(done.facts) == len(done.thumbnails) == 256
    assert not Path(sent).exists()


RUN_FOR_EVER = """
import sys, time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from graft.prepare import prepare
from graft.sources.base import Images, Sample


def samples():
    for k, image in enumerate(load_digits().images):
        if k == 1700:
            print("five chunks are under way", flush=True)
            time.sleep(600)
        yield Sample(f"{k:04}", 0, np.round(image * (255 / 16)).astype(np.uint8))


prepare(Images(["digit"], samples()), {8: Path(sys.argv[1]) / "8.npy"}, processes=2)
"""


def test_killing_a_run_leaves_no_worker_and_does_not_spoil_the_next_run(tmp_path: Path) -> None:
    samples = [sample._replace(label=0) for sample in digits(300)]
    expected, _ = run(samples, tmp_path / "fresh", [8], ["digit"])
    killed = tmp_path / "killed"
    killed.mkdir()
    command = [sys.executable, "-c", RUN_FOR_EVER, str(killed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(graft.prepare.__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline()
        below = psutil.Process(process.pid).children(recursive=True)
        assert len(workers(psutil.Process(process.pid))) == 2
        process.kill()
        process.wait()
        deadline = time.monotonic() + 20
        while any(is_alive(child) for child in below) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = [child for child in below if is_alive(child)]
        for child in left:
            child.kill()
    assert not left
    assert (killed / "8.npy").stat().st_size > 128
    found, _ = run(samples, killed, [8], ["digit"])
    assert_same(found, expected)
    assert files_in(killed) == files_in(tmp_path / "fresh")
