from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.arrays import gather, open_arrays, open_inputs
from graft.errors import UserError
from graft.files import record_sums

# As the index of a data set is, with the splits that its source publishes.
INDEX = pd.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d", "e", "f", "g"],
        "label": [1, 0, 1, 0, 2, 2, 2],
        "class_name": ["cat", "ant", "cat", "ant", "dog", "dog", "dog"],
        "split": ["", "train", "test", "train", "", "train", "test"],
        "source": ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png"],
    }
)
EVERY = {"a": "train", "b": "validation", "c": "train", "d": "test", "e": "train", "f": "validation", "g": "test"}


def splits_of(chosen: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"sample_id": list(chosen), "split": list(chosen.values())}, dtype="str")


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(*arrays: np.ndarray) -> Path:
        paths = [tmp_path / f"activations{k}.npy" for k in range(len(arrays))]
        for path, array in zip(paths, arrays, strict=True):
            np.save(path, array)
        record_sums(tmp_path / "SHA256SUMS", paths)
        return tmp_path / "SHA256SUMS"

    return save


def test_arrays_are_opened_in_their_order_and_stay_on_disk(saved: Callable[..., Path]) -> None:
    first, second = open_arrays(saved(np.arange(3), np.ones((2, 2))))
    assert first.tolist() == [0, 1, 2]
    assert second.shape == (2, 2)
    assert isinstance(first, np.memmap)
    assert not first.flags.writeable


def test_a_damaged_array_is_not_opened(saved: Callable[..., Path]) -> None:
    sums = saved(np.arange(3))
    np.save(sums.with_name("activations0.npy"), np.arange(4))
    with pytest.raises(UserError, match=r"activations0\.npy: damaged"):
        open_arrays(sums)


def test_rows_follow_the_index_and_splits_meet_it_on_the_sample() -> None:
    inputs = [np.zeros(7)]
    data = gather(INDEX, splits_of(dict(reversed(EVERY.items()))), inputs)
    assert {name: rows.tolist() for name, rows in data.rows.items()} == {
        "train": [0, 2, 4],
        "validation": [1, 5],
        "test": [3, 6],
    }
    assert data.inputs is inputs
    assert data.label.tolist() == [1, 0, 1, 0, 2, 2, 2]
    assert data.label.dtype == np.int64
    assert data.sample_id.tolist() == ["a", "b", "c", "d", "e", "f", "g"]
    assert data.sample_id.dtype.kind == "U"
    assert data.classes == ["ant", "cat", "dog"]


def test_an_image_that_a_study_leaves_out_is_in_no_split() -> None:
    data = gather(INDEX, splits_of({name: split for name, split in EVERY.items() if name != "c"}), [])
    assert data.rows["train"].tolist() == [0, 4]
    assert data.label.tolist() == [1, 0, 1, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("left", "classes", "label"),
    [
        ("acefg", ["cat", "dog"], [0, -1, 0, -1, 1, 1, 1]),
        ("bdefg", ["ant", "dog"], [-1, 0, -1, 0, 1, 1, 1]),
        ("efg", ["dog"], [-1, -1, -1, -1, 0, 0, 0]),
    ],
)
def test_the_classes_of_a_subset_are_numbered_anew_in_their_order(
    left: str, classes: list[str], label: list[int]
) -> None:
    splits = splits_of({name: EVERY[name] for name in left} | {"e": "train", "f": "validation", "g": "test"})
    data = gather(INDEX, splits, [])
    assert data.classes == classes
    assert data.label.tolist() == label
    for rows in data.rows.values():
        assert (data.label[rows] >= 0).all()


def test_a_class_that_is_in_one_split_alone_is_a_class() -> None:
    chosen = {"a": "train", "c": "validation", "e": "test"}
    data = gather(INDEX, splits_of(chosen), [])
    assert data.classes == ["cat", "dog"]
    assert data.label.tolist() == [0, -1, 0, -1, 1, 1, 1]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "train", "validation", "test"])), max_size=30),
    st.randoms(use_true_random=False),
)
def test_every_image_that_is_used_keeps_the_name_of_its_class(images: list[tuple[int, str]], random: object) -> None:
    images = [*images, (3, "train"), (1, "validation"), (3, "test")]
    random.shuffle(images)  # type: ignore[attr-defined]
    index = pd.DataFrame({"label": [label for label, _ in images], "sample_id": [str(k) for k in range(len(images))]})
    index["class_name"] = index["label"].map(lambda label: "fedcba"[label])
    used = [(str(row), split) for row, (_, split) in enumerate(images) if split]
    data = gather(index, splits_of(dict(used)), [])
    assert len(data.classes) == len({images[int(row)][0] for row, _ in used})
    for row, _ in used:
        assert data.classes[data.label[int(row)]] == index["class_name"][int(row)]
    assert sum(len(rows) for rows in data.rows.values()) == len(used)


@pytest.mark.parametrize("empty", ["train", "validation", "test"])
def test_a_split_without_images_is_named(empty: str) -> None:
    with pytest.raises(UserError) as error:
        gather(INDEX, splits_of({name: split for name, split in EVERY.items() if split != empty}), [])
    assert (
        str(error.value) == f"the {empty} split holds none of the 7 images; raise its share under split, or its subset"
    )


@pytest.mark.parametrize("index", [INDEX, INDEX.iloc[:0]])
def test_no_image_in_any_split_is_an_error_too(index: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="the train split holds none of the"):
        gather(index, splits_of({}), [])


def test_a_sample_in_two_splits_is_an_error() -> None:
    splits = splits_of(EVERY)
    with pytest.raises(pd.errors.MergeError):
        gather(INDEX, pd.concat([splits, splits.iloc[:1]]), [])


def test_a_network_trains_on_activations_or_where_none_are_stored_on_images(tmp_path: Path) -> None:
    for name in ("images", "features", "refused"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "images/images.npy", np.zeros((2, 4, 4, 3), np.uint8))
    np.save(tmp_path / "features/activations0.npy", np.ones((2, 5), np.float16))
    (tmp_path / "refused/not_stored.txt").write_text("no room")
    sums = {name: tmp_path / name / "SHA256SUMS" for name in ("images", "features", "refused")}
    for path in sums.values():
        record_sums(path, [file for file in path.parent.iterdir() if file != path])
    for features, dtype in ((sums["features"], np.float16), (sums["refused"], np.uint8), (None, np.uint8)):
        (array,) = open_inputs(sums["images"], features)
        assert array.dtype == dtype
