import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import graft.sources.digits
from graft.errors import UserError
from graft.sources.base import Sample, open_source
from graft.sources.download import Downloads


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    open_source({"name": "digits"}).fetch(Downloads(folder))
    return folder


@pytest.fixture(scope="module")
def samples(raw: Path) -> list[Sample]:
    return list(open_source({"name": "digits"}).read(raw).samples)


def test_labels_are_scikit_learns(raw: Path, samples: list[Sample]) -> None:
    published = load_digits()
    assert len(samples) == 1797
    assert [sample.label for sample in samples] == published.target.tolist()
    assert open_source({"name": "digits"}).read(raw).classes == [str(name) for name in published.target_names]


def test_pixels_are_scikit_learns_scaled_to_a_byte(samples: list[Sample]) -> None:
    pixels = np.stack([sample.image for sample in samples])
    assert pixels.dtype == np.uint8
    assert pixels.max() == 255
    np.testing.assert_allclose(pixels, load_digits().images * 255 / 16, atol=0.5)


def test_images_are_grey_and_have_names_of_their_own(samples: list[Sample]) -> None:
    assert {sample.image.shape for sample in samples} == {(8, 8)}
    assert len({sample.name for sample in samples}) == 1797


def test_no_split_is_published_and_no_image_is_at_fault(samples: list[Sample]) -> None:
    assert {(sample.split, sample.fault) for sample in samples} == {("", "")}


def test_images_come_in_the_same_order_again(raw: Path, samples: list[Sample]) -> None:
    again = open_source({"name": "digits"}).read(raw).samples
    assert [(sample.name, sample.image.tobytes()) for sample in again] == [(s.name, s.image.tobytes()) for s in samples]


def test_fetch_returns_the_files_that_it_put_there(tmp_path: Path) -> None:
    assert open_source({"name": "digits"}).fetch(Downloads(tmp_path)) == [tmp_path / "digits.csv.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["digits.csv.gz"]


def test_an_image_is_the_one_that_its_row_says(tmp_path: Path) -> None:
    row = [0, 16, *[8] * 62, 7]
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress("\n".join([",".join(map(str, row))] * 2).encode()))
    first, second = open_source({"name": "digits"}).read(tmp_path).samples
    assert (first.name, first.label, second.name) == ("0000", 7, "0001")
    assert isinstance(first.image, np.ndarray)
    assert first.image.ravel()[:3].tolist() == [0, 255, 128]


def test_another_file_than_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.sources.digits, "SHA256", "0" * 64)
    with pytest.raises(
        UserError, match=r"digits\.csv\.gz: not the digits that this source reads \(sha256 is not 0{64}\)"
    ):
        open_source({"name": "digits"}).fetch(Downloads(tmp_path))
    assert list(tmp_path.iterdir()) == []
