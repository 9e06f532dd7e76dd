import importlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import graft.sources.elpv
from graft.errors import UserError
from graft.sources.base import Sample, open_source
from graft.sources.download import Downloads
from tests.unit.sources import published
from tests.unit.sources.published import Labelled

PHOTOS = published.crops(300, 12, 4)
CELLS = Labelled(PHOTOS.images[..., 1], PHOTOS.labels)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder in which this Python looks for packages first."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("elpv_dataset", None)


@pytest.fixture
def data(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the package, of twelve cells, once it is installed."""
    folder = published.elpv_package(packages, CELLS)
    importlib.invalidate_caches()
    monkeypatch.setattr(graft.sources.elpv, "DIGEST", published.elpv_digest(folder))
    return folder


def fetch(raw: Path) -> list[Path]:
    return open_source({"name": "elpv"}).fetch(Downloads(raw))


def samples(raw: Path) -> list[Sample]:
    return list(open_source({"name": "elpv"}).read(raw).samples)


def packed(path: Path, members: dict[str, bytes]) -> Path:
    path.mkdir()
    published.zipped(path / "elpv.zip", members)
    return path


# -- what is installed ---------------------------------------------------------------------------------------------------


def test_every_cell_has_its_bytes_and_its_probability_as_class(data: Path, tmp_path: Path) -> None:
    assert fetch(tmp_path / "raw") == [tmp_path / "raw" / "elpv.zip"]
    found = samples(tmp_path / "raw")
    assert [sample.name for sample in found] == [f"images/cell{number:04}.png" for number in range(1, 13)]
    assert [sample.label for sample in found] == CELLS.labels.tolist()
    for sample, image in zip(found, CELLS.images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(sample.image))), image)
    assert {(sample.split, sample.fault) for sample in found} == {("", "")}
    assert open_source({"name": "elpv"}).read(tmp_path / "raw").classes == ["0 %", "33 %", "67 %", "100 %"]


def test_the_same_files_give_the_same_archive_whenever_and_wherever_they_were_installed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(tmp_path / "first")
    for file in data.rglob("*.*"):
        file.touch()
        file.chmod(0o600)
    (data / "images" / "Thumbs.db").write_text("passed over")
    monkeypatch.setattr(sys, "platform", "win32")
    fetch(tmp_path / "second")
    monkeypatch.undo()
    assert (tmp_path / "first" / "elpv.zip").read_bytes() == (tmp_path / "second" / "elpv.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "first" / "elpv.zip") as archive:
        assert {(info.compress_type, info.date_time[0]) for info in archive.infolist()} == {(zipfile.ZIP_STORED, 1980)}
        assert archive.namelist() == ["labels.csv", *sorted(archive.namelist()[1:])]


def test_without_the_package_it_is_said_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # how Python marks what is not there
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "raw")
    assert str(error.value) == "the source elpv needs the package elpv-dataset: pip install 'graft[elpv]'"
    assert not list((tmp_path / "raw").glob("*.zip"))


@pytest.mark.parametrize("change", ["another label", "another image", "an image more", "an image less"])
def test_other_files_than_the_known_ones_are_refused(data: Path, tmp_path: Path, change: str) -> None:
    first, second = data / "images" / "cell0001.png", data / "images" / "cell0002.png"
    if change == "another label":
        (data / "labels.csv").write_text((data / "labels.csv").read_text().replace("1.0 ", "0.0 "))
    elif change == "another image":
        first.write_bytes(second.read_bytes())
    elif change == "an image more":
        (data / "images" / "cell0013.png").write_bytes(first.read_bytes())
    else:
        second.unlink()
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "raw")
    assert str(error.value).startswith("elpv-dataset: the installed files are not those that this source reads")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_package_without_its_files_is_refused(data: Path, tmp_path: Path) -> None:
    (data / "labels.csv").unlink()
    with pytest.raises(UserError, match=r"^elpv-dataset: cannot be packed into .*elpv\.zip: .*labels\.csv"):
        fetch(tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


# -- what is read --------------------------------------------------------------------------------------------------------

PNG = published.encoded(CELLS.images[0], "PNG")


def test_a_cell_that_is_listed_and_missing_is_a_fault(tmp_path: Path) -> None:
    labels = b"images/cell0001.png  1.0  mono\nimages/cell0002.png  0.0  poly\n"
    raw = packed(tmp_path / "raw", {"images/cell0001.png": PNG, "labels.csv": labels})
    assert samples(raw) == [
        ("images/cell0001.png", 3, PNG, "", ""),
        ("images/cell0002.png", 0, None, "", "is in labels.csv, but not in the archive"),
    ]


@pytest.mark.parametrize(
    "line",
    ["images/cell0001.png  1.0", "images/cell0001.png  0.5  mono", "images/cell0001.png  nan  mono", "a b c d", "\xff"],
)
def test_a_line_of_another_format_is_named(tmp_path: Path, line: str) -> None:
    labels = f"images/cell0002.png  0.0  poly\n{line}\n".encode("latin-1")
    raw = packed(tmp_path / "raw", {"labels.csv": labels, "images/cell0001.png": PNG})
    with pytest.raises(UserError, match=r"elpv\.zip: line 2 of labels\.csv is not a name, one of \['0\.0', .* a kind"):
        samples(raw)


def test_an_archive_without_labels_is_refused(tmp_path: Path) -> None:
    raw = packed(tmp_path / "raw", {"images/cell0001.png": PNG})
    with pytest.raises(UserError, match=r"elpv\.zip: holds no labels\.csv that can be read"):
        samples(raw)
