import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.errors import UserError
from graft.files import sha256
from graft.sources.base import Images, open_source
from graft.sources.download import Downloads
from graft.sources.remote import Remote
from tests.unit.sources import published
from tests.unit.sources.published import WORDS, zipped

CROPS = published.crops(64, 48, 6)
TRAIN, TEST = CROPS.part(0, 30), CROPS.part(30, 48)
MEMBERS = published.tiny_imagenet_members(TRAIN, TEST)
TOP = "tiny-imagenet-200"
ANNOTATIONS = f"{TOP}/val/val_annotations.txt"


def archive(folder: Path, members: Mapping[str, bytes]) -> Path:
    return zipped(folder / "tiny-imagenet-200.zip", members)


def read(raw: Path, members: Mapping[str, bytes] = MEMBERS) -> Images:
    archive(raw, members)
    return open_source({"name": "tiny_imagenet"}).read(raw)


# -- good archives -------------------------------------------------------------------------------------------------------


def test_every_labelled_image_has_its_bytes_class_and_split(tmp_path: Path) -> None:
    images = read(tmp_path)
    samples = {sample.name: sample for sample in images.samples}
    wnids = sorted(WORDS)
    assert len(samples) == 48
    for row, label in enumerate(TRAIN.labels):
        name = f"train/{wnids[label]}/images/{wnids[label]}_{row}.JPEG"
        assert samples[name] == (name, label, MEMBERS[f"{TOP}/{name}"], "train", "")
    for row, label in enumerate(TEST.labels):
        name = f"val/images/val_{row}.JPEG"
        assert samples[name] == (name, label, MEMBERS[f"{TOP}/{name}"], "test", "")


def test_the_images_are_the_photographs_that_were_packed(tmp_path: Path) -> None:
    sample = next(read(tmp_path).samples)
    pixels = np.asarray(Image.open(io.BytesIO(sample.image)), np.float64)
    assert np.abs(pixels - TRAIN.images[0]).mean() < 6  # grey values, by the loss of JPEG


def test_the_unlabelled_test_folder_is_passed_over(tmp_path: Path) -> None:
    assert any(name.startswith(f"{TOP}/test/") for name in MEMBERS)
    assert not any("test/" in sample.name for sample in read(tmp_path).samples)


def test_classes_are_the_training_folders_in_order_whatever_wnids_txt_lists(tmp_path: Path) -> None:
    expected = read(tmp_path).classes
    assert len(expected) == 6
    assert read(tmp_path, MEMBERS | {f"{TOP}/wnids.txt": b"n01443537\n"}).classes == expected


def test_a_class_is_named_by_its_first_synonym_and_apart_from_others(tmp_path: Path) -> None:
    assert read(tmp_path).classes == [
        "goldfish",
        "European fire salamander",
        "crane (n02012849)",
        "Egyptian cat",
        "crane (n03126707)",
        "wok",
    ]


def test_classes_that_share_the_first_synonym_are_named_by_all_of_them(tmp_path: Path) -> None:
    words = {"n03710637": "maillot", "n03710721": "maillot, tank suit", "n04596742": "wok"}
    crops = published.crops(64, 9, 3)
    members = published.tiny_imagenet_members(crops, crops, words)
    assert read(tmp_path, members).classes == ["maillot", "maillot, tank suit", "wok"]


def test_a_class_that_words_txt_does_not_name_has_its_id(tmp_path: Path) -> None:
    assert read(tmp_path, MEMBERS | {f"{TOP}/words.txt": b"n04596742\twok\n"}).classes[-2:] == ["n03126707", "wok"]


def test_images_come_in_the_same_order_again(tmp_path: Path) -> None:
    assert list(read(tmp_path).samples) == list(read(tmp_path).samples)


# -- fetching ------------------------------------------------------------------------------------------------------------


def test_an_archive_of_ones_own_is_fetched_by_its_checksum(tmp_path: Path) -> None:
    mirror, raw = tmp_path / "mirror", tmp_path / "raw"
    mirror.mkdir()
    source = open_source({"name": "tiny_imagenet", "sha256": sha256(archive(mirror, MEMBERS))})
    assert source.fetch(Downloads(raw, [str(mirror)])) == [raw / "tiny-imagenet-200.zip"]
    assert len(list(source.read(raw).samples)) == 48


def test_an_archive_of_ones_own_is_not_looked_for_where_the_published_one_is(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        open_source({"name": "tiny_imagenet", "sha256": "0" * 64}).fetch(Downloads(tmp_path))
    assert "http" not in str(error.value)


def test_the_published_archive_is_asked_for_by_address_size_and_checksum(tmp_path: Path) -> None:
    class Asked(Downloads):
        def get(self, remote: Remote) -> Path:
            self.remote = remote
            return self.raw / remote.name

    asked = Asked(tmp_path)
    open_source({"name": "tiny_imagenet"}).fetch(asked)
    assert asked.remote == Remote(
        "tiny-imagenet-200.zip",
        ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
        ("6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",),
        248_100_043,
    )


# -- faults --------------------------------------------------------------------------------------------------------------


def test_an_annotated_image_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    members = {name: data for name, data in MEMBERS.items() if not name.endswith("/val_7.JPEG")}
    samples = list(read(tmp_path, members).samples)
    fault = "is in val_annotations.txt, but not in the archive"
    assert [sample for sample in samples if sample.fault] == [
        ("val/images/val_7.JPEG", TEST.labels[7], None, "test", fault)
    ]
    assert len(samples) == 48


def test_an_image_without_annotation_is_a_fault(tmp_path: Path) -> None:
    lines = MEMBERS[ANNOTATIONS].splitlines(keepends=True)
    samples = list(read(tmp_path, MEMBERS | {ANNOTATIONS: b"".join(lines[:7] + lines[8:])}).samples)
    fault = "its class in val_annotations.txt is missing"
    assert [sample for sample in samples if sample.fault] == [("val/images/val_7.JPEG", -1, None, "test", fault)]
    assert len(samples) == 48


def test_an_image_of_a_class_without_training_images_is_a_fault(tmp_path: Path) -> None:
    members = {name: data for name, data in MEMBERS.items() if "/train/n04596742/" not in name}
    images = read(tmp_path, members)
    samples = list(images.samples)
    assert len(images.classes) == 5
    faults = [sample for sample in samples if sample.fault]
    assert {(sample.label, sample.image, sample.fault) for sample in faults} == {
        (-1, None, "its class in val_annotations.txt is n04596742")
    }
    assert len(faults) == sum(TEST.labels == 5)
    assert {sample.label for sample in samples if not sample.fault} == set(range(5))


def test_a_damaged_member_is_a_fault(tmp_path: Path) -> None:
    path = archive(tmp_path, MEMBERS)
    name = f"{TOP}/val/images/val_0.JPEG".encode()
    data = bytearray(path.read_bytes())
    data[data.index(name) + len(name) + 200] ^= 0xFF
    path.write_bytes(data)
    samples = {sample.name: sample for sample in open_source({"name": "tiny_imagenet"}).read(tmp_path).samples}
    broken = samples["val/images/val_0.JPEG"]
    assert (broken.image, broken.label) == (None, TEST.labels[0])
    assert broken.fault.startswith("is damaged in the archive")
    assert sum(bool(sample.fault) for sample in samples.values()) == 1


# -- other archives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["words.txt", "val/val_annotations.txt"])
def test_an_archive_without_its_texts_is_refused(tmp_path: Path, name: str) -> None:
    members = {found: data for found, data in MEMBERS.items() if found != f"{TOP}/{name}"}
    with pytest.raises(UserError) as error:
        read(tmp_path, members)
    path = tmp_path / "tiny-imagenet-200.zip"
    assert str(error.value) == f"{path}: holds no {TOP}/{name} that can be read, so it is not a copy of Tiny ImageNet"


def test_an_archive_without_training_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip: holds no tiny-imagenet-200/train/<class>/images/"):
        read(tmp_path, {name: data for name, data in MEMBERS.items() if "/train/" not in name})


def test_a_bad_line_of_the_annotations_is_named(tmp_path: Path) -> None:
    lines = MEMBERS[ANNOTATIONS].splitlines(keepends=True)
    lines[4] = b"val_4.JPEG n01443537\n"
    with pytest.raises(UserError, match=rf"line 5 of {ANNOTATIONS} has no tab between an image and its class$"):
        read(tmp_path, MEMBERS | {ANNOTATIONS: b"".join(lines)})


def test_texts_that_are_not_utf_8_do_no_harm(tmp_path: Path) -> None:
    members = MEMBERS | {f"{TOP}/words.txt": b"n04596742\tp\xeale, frying pan\n"}
    assert read(tmp_path, members).classes[-1] == "p\\xeale"


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(published.encoded(TRAIN.images[0], "JPEG"))
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip: "):
        open_source({"name": "tiny_imagenet"}).read(tmp_path)
