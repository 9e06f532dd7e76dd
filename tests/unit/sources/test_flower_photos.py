import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from graft.errors import UserError
from graft.registry import parts
from graft.sources import flower_photos as module
from graft.sources.download import Downloads
from graft.sources.flower_photos import flower_photos

CLASSES = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]


def crop(left: int) -> bytes:
    """A part of scikit-learn's photograph of a flower, as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")[100:140, left : left + 40]).save(file, "JPEG")
    return file.getvalue()


PHOTOS = {f"flower_photos/{name}/{number}_n.jpg": crop(50 * number) for name in CLASSES for number in (1, 2)}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive in the published layout, with fewer photographs."""
    path = tmp_path / "mirror" / "flower_photos.tgz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as file:
        for name, data in {"flower_photos/LICENSE.txt": b"CC BY\n", **PHOTOS}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_photographs_come_with_their_flower_and_without_splits(archive: Path, tmp_path: Path) -> None:
    source, raw = flower_photos(sha256=hashlib.sha256(archive.read_bytes()).hexdigest()), tmp_path / "raw"
    said: list[str] = []
    paths = source.fetch(Downloads(raw, [str(archive.parent)], said.append))
    assert [path.name for path in paths] == ["flower_photos.tgz", "samples.csv"]
    classes, samples = source.read(raw)
    found = list(samples)
    assert classes == CLASSES
    assert {sample.name: sample.image for sample in found} == PHOTOS
    assert all(f"/{classes[sample.label]}/" in sample.name for sample in found)
    assert {sample.split for sample in found} == {""}
    assert "1 '.txt'" in said[-1]
    assert source.state(raw) == ""


@pytest.mark.parametrize("sha256", [None, module.ARCHIVE.sha256[0]])
def test_without_a_checksum_only_the_published_archive_is_taken(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sha256: str | None
) -> None:
    monkeypatch.setattr(module, "ARCHIVE", module.ARCHIVE._replace(addresses=()))
    with pytest.raises(UserError, match=r"flower_photos\.tgz \(228,813,984 bytes, sha256 4c54ace7911a.*found nowhere"):
        flower_photos(sha256=sha256).fetch(Downloads(tmp_path / "raw", [str(archive.parent)], lambda line: None))


def test_another_archive_than_the_published_one_has_no_address() -> None:
    assert flower_photos(sha256="0" * 64).remote.addresses == ()
    assert len(flower_photos().remote.addresses) == 1


def test_the_archive_publishes_no_splits() -> None:
    assert parts("graft.sources")["flower_photos"].facts["splits"] == ()
