import csv
import hashlib
import io
import json
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

import graft.sources.folder
from graft.errors import UserError
from graft.registry import parts
from graft.sources.base import Sample, Source
from graft.sources.download import Downloads
from graft.sources.folder import folder

Files = dict[str, bytes]
DIGITS = load_digits().images


def png(number: int) -> bytes:
    """One of scikit-learn's handwritten digits as a PNG file, four times as large."""
    file = io.BytesIO()
    grey = np.kron(DIGITS[number] * 15, np.ones((4, 4))).astype(np.uint8)
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def files_of(names: list[str]) -> Files:
    return {name: png(number) for number, name in enumerate(names)}


# -- the same images in a folder or in an archive ------------------------------------------------------------------------


def as_folder(path: Path, files: Files) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def as_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def as_tar(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MADE = {"folder": as_folder, "zip": as_zip, "tar.gz": as_tar}


class Place:
    """A raw folder, what was said, and what a source at ``path`` makes of them."""

    def __init__(self, tmp_path: Path) -> None:
        self.path, self.raw, self.said = tmp_path / "photos", tmp_path / "raw", list[str]()
        self.mirrors: list[str] = []

    def source(self, sha256: str | None = None) -> Source:
        return folder(path=str(self.path), sha256=sha256)

    def fetch(self, sha256: str | None = None) -> list[Path]:
        return self.source(sha256).fetch(Downloads(self.raw, self.mirrors, self.said.append))

    def read(self) -> tuple[list[str], list[Sample]]:
        classes, samples = self.source().read(self.raw)
        return classes, list(samples)

    def state(self) -> str:
        return self.source().state(self.raw)

    def table(self) -> list[dict[str, str]]:
        with (self.raw / "samples.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


PETS = ["dog/1.png", "cat/2.png", "dog/0.png"]

# What lies where, and the class and split of each.
LAYOUTS: dict[str, dict[str, tuple[str, str]]] = {
    "class folders": {"dog/1.png": ("dog", ""), "cat/2.png": ("cat", ""), "dog/0.png": ("dog", "")},
    "folders in class folders": {"dog/a/b/1.png": ("dog", ""), "cat/2.png": ("cat", ""), "cat/a/3.png": ("cat", "")},
    "a wrapping folder": {"my pets/dog/1.png": ("dog", ""), "my pets/cat/2.png": ("cat", "")},
    "wrapping folders": {"a/b/dog/1.png": ("dog", ""), "a/b/cat/c/2.png": ("cat", "")},
    "splits": {
        "train/dog/1.png": ("dog", "train"),
        "train/cat/2.png": ("cat", "train"),
        "test/cat/x/2.png": ("cat", "test"),
    },
    "all names of splits": {
        f"{name}/{pet}/1.png": (pet, split)
        for name, split in {
            "train": "train",
            "val": "validation",
            "valid": "validation",
            "validation": "validation",
            "test": "test",
        }.items()
        for pet in ("cat", "dog")
    },
    "capitals": {"Train/Dog/1.PNG": ("Dog", "train"), "TEST/cat/2.Png": ("cat", "test")},
    "one split": {"train/dog/1.png": ("dog", "train"), "train/cat/2.png": ("cat", "train")},
    "wrapped splits": {"tiny/train/dog/1.png": ("dog", "train"), "tiny/val/cat/2.png": ("cat", "validation")},
    "one wrapped split": {"tiny/test/dog/1.png": ("dog", "test"), "tiny/test/cat/1.png": ("cat", "test")},
    "a class named like a split further down": {"dog/train/1.png": ("dog", ""), "cat/test/1.png": ("cat", "")},
    "names of any kind": {
        f"{name}/{name} 1.png": (name, "")
        for name in (
            "two words",
            "Bär",
            "猫",
            "it's",
            'a "b"',
            "<script>alert(1)",
            "line\nbreak",
            "carriage\rreturn",
            "a,b;c",
            "001",
            "NA",
        )
    },
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_folders_give_class_and_split(place: Place, make: Callable, layout: dict[str, tuple[str, str]]) -> None:
    files = files_of(list(layout))
    make(place.path, files)
    place.fetch()
    classes, samples = place.read()
    assert classes == sorted({name for name, _ in layout.values()})
    assert {sample.name: (classes[sample.label], sample.split) for sample in samples} == layout
    assert {sample.name: sample.image for sample in samples} == files
    assert not any(sample.fault for sample in samples)
    assert place.said == []


ENDINGS = ["jpg", "jpeg", "jpe", "jfif", "png", "gif", "bmp", "dib", "tif", "tiff", "webp"]


@pytest.mark.parametrize("ending", [*ENDINGS, "ppm", "pgm", "pbm", "pnm", "jp2", "avif"])
def test_images_are_known_by_their_endings(place: Place, ending: str) -> None:
    as_folder(place.path, files_of([f"a/x.{ending}", f"b/x.{ending.upper()}", f"b/{ending}", "b/x.png.txt"]))
    place.fetch()
    assert [sample.name for sample in place.read()[1]] == [f"a/x.{ending}", f"b/x.{ending.upper()}"]


def test_images_of_a_folder_come_by_name_and_those_of_an_archive_as_they_lie(place: Place) -> None:
    as_folder(place.path, files_of(PETS))
    place.fetch()
    assert [sample.name for sample in place.read()[1]] == ["cat/2.png", "dog/0.png", "dog/1.png"]
    shutil.rmtree(place.path)
    as_tar(place.path, files_of(PETS))
    place.fetch()
    assert [sample.name for sample in place.read()[1]] == PETS


def test_the_images_of_a_folder_are_listed_with_their_checksums_and_not_copied(place: Place) -> None:
    files = files_of(PETS)
    as_folder(place.path, files)
    assert place.fetch() == [place.raw / "samples.csv"]
    assert place.table() == [
        {"name": name, "class_name": name[:3], "split": "", "sha256": hashlib.sha256(files[name]).hexdigest()}
        for name in sorted(files)
    ]
    kept = sorted(str(path.relative_to(place.raw)) for path in place.raw.rglob("*") if path.is_file())
    assert kept == ["samples.csv", "state/listing.json"]


def test_an_archive_is_copied_and_its_images_listed_by_name(place: Place) -> None:
    as_zip(place.path, files_of(PETS))
    assert place.fetch() == [place.raw / "photos", place.raw / "samples.csv"]
    assert (place.raw / "photos").read_bytes() == place.path.read_bytes()
    assert [(row["name"], row["sha256"]) for row in place.table()] == [(name, "") for name in sorted(PETS)]


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_one_image_at_a_time_is_in_memory(place: Place, make: Callable) -> None:
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).save(file, "BMP")  # 0.8 MB
    make(place.path, {f"{name}/{number}.bmp": file.getvalue() for name in "ab" for number in range(8)})
    place.fetch()
    tracemalloc.start()
    try:
        assert sum(1 for _ in place.source().read(place.raw).samples) == 16
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    as_folder(tmp_path / "photos", files_of(PETS))
    assert [path.name for path in folder(path="~/photos").fetch(Downloads(tmp_path / "raw"))] == ["samples.csv"]
    with pytest.raises(UserError, match=r"~nobody-of-that-name/photos: no such folder"):
        folder(path="~nobody-of-that-name/photos").fetch(Downloads(tmp_path / "raw"))


# -- what is passed over -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_other_files_are_passed_over_and_counted(place: Place, make: Callable) -> None:
    extra = ["LICENSE.txt", "cat/notes.TXT", "cat/README", "dog/mask.npy", "dog/._1.png", ".git/x.png", "dog/Thumbs.db"]
    make(place.path, files_of([*PETS, *extra]))
    place.fetch()
    assert [sample.name for sample in place.read()[1]] == (PETS if place.path.is_file() else sorted(PETS))
    (line,) = place.said
    assert line.startswith(f"{place.path}: 4 files passed over, which do not end as images do: 2 '.txt', ")
    assert "1 'without ending'" in line
    assert "1 '.npy'" in line


def test_empty_class_folders_are_told(place: Place) -> None:
    as_folder(place.path, files_of([*PETS, "cow/notes.txt"]))
    (place.path / "my\nbird" / "deep").mkdir(parents=True)
    place.fetch()
    assert place.said[1] == f"{place.path}: 3 folders without images: 'cow', 'my\\nbird', 'my\\nbird/deep'"


@pytest.mark.parametrize("make", [as_folder, as_tar], ids=["folder", "tar.gz"])
def test_an_image_whose_name_is_not_utf_8_is_passed_over_and_told(place: Place, make: Callable) -> None:
    make(place.path, files_of([*PETS, "cat/m\udcfcde.png"]))
    place.fetch()
    assert {sample.name for sample in place.read()[1]} == set(PETS)
    (line,) = place.said
    assert line.startswith(f"{place.path}: 1 images passed over: 'cat/m\\")
    assert line.endswith("de.png' has a name that is not UTF-8; rename it")


@pytest.mark.parametrize("make", [as_folder, as_tar], ids=["folder", "tar.gz"])
def test_a_class_whose_name_is_not_utf_8_is_refused(place: Place, make: Callable) -> None:
    make(place.path, files_of([*PETS, "M\udcfccke/1.png"]))
    with pytest.raises(UserError, match=r"photos: folder 'M.*cke' has a name that is not UTF-8; rename it$"):
        place.fetch()
    assert place.state()


# -- what is refused -----------------------------------------------------------------------------------------------------

WRONG = {
    "no files": (
        ["x/y.txt"],
        "no images in it; expected <class>/<image>, or train, validation or test/<class>/<image>",
    ),
    "no class folders": (["1.png", "2.png"], "'1.png' lies in no class folder; expected <class>/<image>"),
    "an image beside class folders": ([*PETS, "1.png"], "'1.png' lies in no class folder"),
    "an image without class in a split": (["train/dog/1.png", "test/1.png"], "'test/1.png' lies in no class folder"),
    "an image beside splits": (["train/dog/1.png", "train/cat/1.png", "1.png"], "'1.png' lies in no class folder"),
    "one class": (["dog/1.png", "dog/2.png"], "only one class, 'dog'; a classification needs two classes or more"),
    "one class in every split": (["train/dog/1.png", "test/dog/2.png"], "only one class, 'dog'"),
    "splits beside classes": (
        ["train/dog/1.png", "bus/1.png", "car/1.png"],
        "folder 'train' is named like a split, and 'bus' beside it is not; expected <class>/<image>",
    ),
    "a wrapped split beside a class": (["a/val/dog/1.png", "a/bus/1.png"], "folder 'val' is named like a split"),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize(("names", "reason"), WRONG.values(), ids=WRONG)
def test_another_layout_is_refused_in_one_line(place: Place, make: Callable, names: list[str], reason: str) -> None:
    make(place.path, files_of(names))
    with pytest.raises(UserError) as error:
        place.fetch()
    assert str(error.value).startswith(f"{place.path}: {reason}")
    assert str(error.value).isprintable()
    assert not (place.raw / "samples.csv").exists()


def test_an_empty_folder_is_refused(place: Place) -> None:
    place.path.mkdir()
    with pytest.raises(UserError, match=r"photos: no images in it; .* that ends in \.jpg, \.jpeg, "):
        place.fetch()


def test_advice_for_archives_is_not_given_for_a_folder_that_is_not_there(place: Place, tmp_path: Path) -> None:
    place.path = tmp_path / "absent"
    with pytest.raises(UserError) as error:
        place.fetch()
    assert str(error.value) == f"{place.path}: no such folder, CSV file or archive"


def test_a_path_where_nothing_is_names_what_was_tried(place: Place, tmp_path: Path) -> None:
    place.mirrors = [str(tmp_path / "mirror"), str(tmp_path)]
    place.path = tmp_path / "absent" / "flowers.zip"
    with pytest.raises(UserError) as error:
        place.fetch()
    first, *tried = str(error.value).split("\n")
    assert first.startswith(f"{place.path}: no such archive; flowers.zip: found nowhere")
    assert tried == [f"  {tmp_path}/mirror/flowers.zip: no such folder", f"  {tmp_path}/flowers.zip: not there"]


def test_a_device_is_no_archive(place: Place) -> None:
    place.path = Path("/dev/zero")
    with pytest.raises(UserError, match="/dev/zero: no such folder, CSV file or archive"):
        place.fetch()


def test_a_name_that_the_raw_folder_needs_is_refused(place: Place) -> None:
    place.path = as_zip(place.path.with_name("state"), files_of(PETS))
    with pytest.raises(UserError, match=r"state: cannot be copied to .*raw \(.* exists\)"):
        place.fetch()


@pytest.mark.parametrize("kind", ["folder", "CSV file"])
def test_a_checksum_of_what_is_no_archive_is_refused(place: Place, kind: str) -> None:
    as_folder(place.path, files_of(PETS))
    if kind == "CSV file":
        place.path = as_table(place, "path,label\ndog/1.png,a\ncat/2.png,b\n")
    with pytest.raises(UserError, match="sha256 is for an archive, which this is not; leave it out"):
        place.fetch("0" * 64)


# -- links and other things in a folder ----------------------------------------------------------------------------------


def test_links_to_files_and_folders_are_followed_and_loops_are_not(place: Place, tmp_path: Path) -> None:
    as_folder(tmp_path / "elsewhere", files_of(["1.png", "deep/2.png"]))
    as_folder(place.path, files_of(PETS))
    (place.path / "cat" / "linked.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (place.path / "bird").symlink_to(tmp_path / "elsewhere")
    for name in ("loop", "cat/loop", "dog/loop"):
        (place.path / name).symlink_to(place.path)
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to("..")
    (place.path / "itself").symlink_to("itself")
    place.fetch()
    names = [sample.name for sample in place.read()[1]]
    assert names == ["bird/1.png", "bird/deep/2.png", "cat/2.png", "cat/linked.png", "dog/0.png", "dog/1.png"]


@pytest.mark.parametrize("what", ["broken link", "fifo"])
def test_what_is_called_an_image_and_cannot_be_read_is_named(place: Place, what: str) -> None:
    as_folder(place.path, files_of(PETS))
    if what == "fifo":
        os.mkfifo(place.path / "cat" / "x.png")
    else:
        (place.path / "cat" / "x.png").symlink_to("absent")
    with pytest.raises(UserError, match=r"x\.png' cannot be read \((it is no regular|No such) file"):
        place.fetch()
    assert place.state() == "cannot be read"


def test_a_file_too_large_for_an_image_is_a_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.sources.folder, "MEMBER_BYTES", 1000)
    as_folder(place.path, files_of(PETS) | {"cat/huge.png": bytes(1001)})
    place.fetch()
    faults = {sample.name: (sample.image, sample.fault) for sample in place.read()[1] if sample.fault}
    assert faults == {"cat/huge.png": (None, "has more than 1,000 bytes")}


# -- CSV files -----------------------------------------------------------------------------------------------------------


def as_table(place: Place, text: str | bytes) -> Path:
    path = place.path / "labels.CSV"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_csv_file_names_path_label_and_split(place: Place) -> None:
    files = files_of(["a/1.png", "b/2.dat", "3, 4.png", "Bär.png", "unlisted.png"])
    as_folder(place.path, files)
    rows = ["path,id,split,label", 'a/1.png,9,test,"two\r\nwords"', './b//2.dat,8,,"it""s"', ""]
    rows += ['"3, 4.png",7,valid,two', "Bär.png,6,train, Ä "]
    place.path = as_table(place, "\ufeff" + "\n".join(rows))
    assert place.fetch() == [place.raw / "samples.csv"]
    classes, samples = place.read()
    assert classes == ['it"s', "two", "two\r\nwords", "Ä"]
    assert [(sample.name, classes[sample.label], sample.split) for sample in samples] == [
        ("3, 4.png", "two", "validation"),
        ("Bär.png", "Ä", "train"),
        ("a/1.png", "two\r\nwords", "test"),
        ("b/2.dat", 'it"s', ""),
    ]
    assert {sample.name: sample.image for sample in samples} == {n: d for n, d in files.items() if n != "unlisted.png"}


TWO = "path,label\ndog/1.png,dog\n"
BAD_TABLES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ": needs the columns path and label; it has none"),
    "other columns": ("file;label\n", ": needs the columns path and label; it has ['file;label']"),
    "no label": ("path,class\n", ": needs the columns path and label; it has ['path', 'class']"),
    "no rows": ("path,label\n", ": no images; a classification needs two classes or more"),
    "one class": (f"{TWO}dog/0.png,dog\n", ": only one class, 'dog'"),
    "a path above": (f"{TWO}../1.png,cat\n", ", line 3: path '../1.png' leads out of the folder of the CSV file"),
    "a path above and back": (f"{TWO}a/../cat/2.png,cat\n", ", line 3: path 'a/../cat/2.png' leads out of the folder"),
    "an absolute path": (f"{TWO}/etc/passwd,cat\n", ", line 3: path '/etc/passwd' leads out of the folder"),
    "a missing file": (f"{TWO}cat/9.png,cat\n", ": 'cat/9.png' is not a file in "),
    "a folder": (f"{TWO}cat,cat\n", ": 'cat' is not a file in "),
    "a path with NUL": (f"{TWO}cat\0,cat\n", ": 'cat\\x00' is not a file in "),
    "an endless path": (f"{TWO}{'x' * 5000},cat\n", ": 'xxx"),
    "another split": ("path,label,split\ndog/1.png,dog,dev\n", ", line 2: split 'dev' is not allowed; allowed: train"),
    "a path twice": (f"{TWO}./dog//1.png,cat\n", ", line 3: path 'dog/1.png' stands twice"),
    "an empty label": (f"{TWO}cat/2.png, \n", ", line 3: its label is empty"),
    "no label in a row": (f"{TWO}cat/2.png\n", ", line 3: its label is empty"),
    "an empty path": (f"{TWO},cat\n", ", line 3: its path is empty"),
    "a comma too many": (f"{TWO}cat/2.png,cat, small\n", ", line 3: has more fields than there are columns"),
    "an open quote": (f'{TWO}cat/2.png,"cat\n', ", line 2: unexpected end of data"),
    "Latin-1": (f"{TWO}cat/2.png,Bär\n".encode("latin-1"), ": not UTF-8 ("),
    "UTF-16": (f"{TWO}cat/2.png,cat\n".encode("utf-16"), ": not UTF-8 ("),
    "an image": (png(0), ": not UTF-8 ("),
}


@pytest.mark.parametrize(("text", "reason"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_wrong_csv_file_is_refused_in_one_line(place: Place, text: str | bytes, reason: str) -> None:
    as_folder(place.path, files_of(PETS))
    place.path = as_table(place, text)
    with pytest.raises(UserError) as error:
        place.fetch()
    assert str(error.value).startswith(f"{place.path}{reason}")
    assert str(error.value).isprintable()
    assert place.state()  # and says nothing of it


def test_a_missing_csv_file_is_named(place: Place) -> None:
    place.path = place.path / "labels.csv"
    with pytest.raises(UserError, match=r"labels\.csv: cannot be read \(No such file or directory\)"):
        place.fetch()
    assert place.state() == ""


# -- archives ------------------------------------------------------------------------------------------------------------


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_archive_is_verified_if_its_checksum_is_given(place: Place) -> None:
    as_zip(place.path, files_of(PETS))
    digest = digest_of(place.path)
    assert place.fetch(digest)[0] == place.raw / "photos"
    (place.raw / "photos").unlink()
    with pytest.raises(UserError, match=f"photos: its sha256 is {digest}, not {'0' * 64}"):
        place.fetch("0" * 64)
    assert not (place.raw / "photos").exists()


def test_an_archive_that_is_not_there_is_taken_from_a_mirror(place: Place, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    archive = as_tar(tmp_path / "mirror" / "photos", files_of(PETS))
    place.mirrors = [str(tmp_path / "mirror")]
    assert place.fetch(digest_of(archive)) == [place.raw / "photos", place.raw / "samples.csv"]
    assert [sample.name for sample in place.read()[1]] == PETS
    assert place.state() == ""


def test_an_archive_that_was_replaced_is_copied_again(place: Place) -> None:
    as_zip(place.path, files_of(PETS))
    place.fetch()
    as_zip(place.path, files_of([*PETS, "cow/3.png"]))
    place.fetch()
    assert place.read()[0] == ["cat", "cow", "dog"]


def test_a_hostile_archive_is_refused_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    as_tar(place.path, files_of(PETS) | {"../../outside.png": png(3)})
    with pytest.raises(UserError, match=r"'\./\.\./\.\./outside\.png': its name leads out of the archive"):
        place.fetch()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name != "photos") == [
        "listing.json",
        "raw",
        "state",
    ]


def test_an_image_that_is_in_an_archive_twice_is_refused(place: Place) -> None:
    with tarfile.open(place.path, "w") as archive:
        for name in [*PETS, "dog/1.png"]:
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match=r"photos: 'dog/1\.png' is in the archive more than once"):
        place.fetch()


def test_images_of_an_archive_that_cannot_be_read_are_faults(place: Place) -> None:
    as_zip(place.path, files_of(PETS))
    data = bytearray(place.path.read_bytes())
    data[data.index(png(1)) + 60] ^= 1
    place.path.write_bytes(data)
    place.fetch()
    assert [(sample.name, sample.image is None, sample.fault[:10]) for sample in place.read()[1]] == [
        ("dog/1.png", False, ""),
        ("cat/2.png", True, "is damaged"),
        ("dog/0.png", False, ""),
    ]
    with tarfile.open(place.path, "w") as archive:
        for name in PETS:
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "2.png"
        archive.addfile(link)
    place.fetch()
    last = place.read()[1][-1]
    assert (last.name, last.image, last.fault[:9]) == ("cat/link.png", None, "is a link")


# -- images that change after they were listed ---------------------------------------------------------------------------


def later(path: Path, seconds: int = 10) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + seconds * 10**9))


@pytest.fixture(params=["folder", "CSV file"])
def listed(place: Place, request: pytest.FixtureRequest) -> Place:
    """Images in class folders that were fetched, as such or through a CSV file."""
    names = [*PETS, "cat/8.png"]
    as_folder(place.path, files_of(names))
    if request.param == "CSV file":
        place.path = as_table(place, "path,label\n" + "".join(f"{name},{name[:3]}\n" for name in names))
    planned = place.state()
    place.fetch()
    assert place.state() == planned != ""
    return place


def image(place: Place) -> Path:
    return (place.path if place.path.is_dir() else place.path.parent) / "cat" / "2.png"


def test_reading_stops_at_an_image_that_has_changed_or_is_gone(listed: Place) -> None:
    path = image(listed)
    path.write_bytes(png(7))
    text = (
        rf"{listed.path.name}: 'cat/2\.png' has changed since it was listed; run snakemake again, which lists it anew"
    )
    with pytest.raises(UserError, match=text):
        listed.read()
    path.unlink()
    with pytest.raises(UserError, match=text + r" \(No such file or directory\)"):
        listed.read()


def test_a_listing_of_a_folder_that_is_gone_is_not_read_as_an_archive(listed: Place) -> None:
    table = listed.path.is_file()
    shutil.rmtree(listed.path.parent if table else listed.path)
    reason = (
        "has changed since it was listed" if table else "the folder or CSV file that was listed is gone; put it back"
    )
    with pytest.raises(UserError, match=reason):
        listed.read()


def test_a_touch_of_every_file_changes_no_token(listed: Place) -> None:
    before = listed.state()
    for path in image(listed).parents[1].rglob("*"):
        later(path)
    assert listed.state() == before
    listed.fetch()
    assert listed.state() == before
    assert listed.read()[0] == ["cat", "dog"]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that are read to be compared."""
    names: list[str] = []
    original = graft.sources.folder.sha256

    def counted(path: Path) -> str:
        names.append(path.name)
        return original(path)

    monkeypatch.setattr(graft.sources.folder, "sha256", counted)
    yield names


def test_files_are_read_only_where_their_time_alone_has_changed_and_only_once(listed: Place, hashed: list[str]) -> None:
    listed.state()
    assert hashed == []
    later(image(listed))
    listed.state()
    listed.state()
    assert hashed == ["2.png"]
    image(listed).write_bytes(b"of another size")
    listed.state()
    assert hashed == ["2.png"]


def change(place: Place) -> None:
    path = image(place)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    later(path)


def add(place: Place) -> None:
    shutil.copy(image(place), image(place).with_name("3.png"))
    if place.path.is_file():
        place.path.write_text(place.path.read_text() + "cat/3.png,cat\n")


def relabel(place: Place) -> None:
    if place.path.is_file():
        place.path.write_text(place.path.read_text().replace(",cat", ",cow"))
    else:
        image(place).parent.rename(image(place).parent.with_name("cow"))


CHANGES: dict[str, Callable[[Place], object]] = {
    "bytes of the same number": change,
    "another size": lambda place: image(place).write_bytes(png(9) + b"more"),
    "another name": lambda place: image(place).rename(image(place).with_name("3.png")),
    "one image fewer": lambda place: image(place).unlink(),
    "one image more": add,
    "another label": relabel,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_image_changes_the_token_until_it_is_listed(listed: Place, change: Callable[[Place], object]) -> None:
    before, listing = listed.state(), (listed.raw / "state/listing.json").read_bytes()
    change(listed)
    changed = listed.state()
    assert changed not in (before, "")
    assert listed.state() == changed
    assert (listed.raw / "state/listing.json").read_bytes() == listing  # for only fetch lists
    try:
        listed.fetch()
    except UserError:  # of a CSV file that names what is gone
        assert listed.path.is_file()
    else:
        assert listed.state() == changed
        assert listed.read()


def test_what_is_no_image_changes_no_token(listed: Place) -> None:
    before = listed.state()
    (image(listed).parent / "notes.txt").write_text("new")
    (image(listed).parent / ".hidden.png").write_bytes(png(5))
    (image(listed).parents[1] / "empty").mkdir()
    assert listed.state() == before


def test_the_token_stays_where_the_images_are_gone(listed: Place) -> None:
    before = listed.state()
    top = listed.path if listed.path.is_dir() else listed.path.parent
    top.rename(top.with_name("moved"))
    assert listed.state() == before
    shutil.rmtree(listed.raw)
    assert listed.state() == ""


def test_a_listing_that_is_damaged_counts_as_none(listed: Place) -> None:
    before = listed.state()
    for text in ("", "[]", '{"token": "x"}', "\0"):
        (listed.raw / "state/listing.json").write_text(text)
        assert listed.state() == before


def test_a_touched_file_that_cannot_be_read_counts_as_changed(listed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed.state()
    later(image(listed))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(graft.sources.folder, "sha256", refuse)
    assert listed.state() not in (before, "")


def test_a_listing_that_cannot_be_written_stops_nothing(listed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed.state()
    later(image(listed))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(graft.sources.folder, "write_json", refuse)
    assert listed.state() == before


def test_the_listing_holds_sizes_times_and_checksums(place: Place) -> None:
    files = files_of(PETS)
    as_folder(place.path, files)
    place.fetch()
    listing = json.loads((place.raw / "state/listing.json").read_text())
    found = {name: (place.path / name).stat() for name in files}
    assert listing["facts"] == {name: f"{info.st_size} {info.st_mtime_ns}" for name, info in found.items()}
    assert listing["sha256"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert listing["token"] == place.state()


def test_an_archive_has_a_token_unless_its_checksum_is_given(place: Place) -> None:
    as_zip(place.path, files_of(PETS))
    planned = place.state()
    place.fetch()
    assert place.state() == planned != ""
    later(place.path)
    assert place.state() == planned
    as_zip(place.path, files_of([*PETS, "cow/3.png"]))
    assert place.state() not in (planned, "")
    assert place.source(digest_of(place.path)).state(place.raw) == ""
    place.path.unlink()
    assert place.state() == planned


# -- what a study may say ------------------------------------------------------------------------------------------------


def test_the_splits_of_a_folder_are_not_known_beforehand() -> None:
    assert parts("graft.sources")["folder"].facts["splits"] is None


BAD_OPTIONS = [{"path": ""}, {"path": "a\0b"}, {"path": "a", "sha256": "0" * 63}, {"path": "a", "sha256": "A" * 64}, {}]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_a_study_gives_a_path_and_a_checksum(study: dict, read: Callable, complaints: Callable, options: dict) -> None:
    study["datasets"]["digits"]["source"] = {"name": "folder", "path": "photos", "sha256": "0" * 64}
    assert read(study).datasets["digits"].source.path == "photos"
    study["datasets"]["digits"]["source"] = {"name": "folder", **options}
    key = "sha256" if "sha256" in options else "path"
    assert any(line.startswith(f"datasets.digits.source.{key}") for line in complaints(study))
