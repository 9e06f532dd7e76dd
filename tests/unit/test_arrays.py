from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graft.arrays import class_names, gather, open_arrays
from graft.errors import UserError
from graft.files import record_sums

INDEX = pd.DataFrame(
    {"sample_id": ["a", "b", "c", "d"], "label": [1, 0, 1, 0], "class_name": ["cat", "ant", "cat", "ant"]}
)
SPLITS = pd.DataFrame({"sample_id": ["d", "c", "b", "a"], "split": ["test", "train", "validation", "train"]})


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


def test_class_names_stand_in_the_order_of_their_labels() -> None:
    assert class_names(INDEX) == ["ant", "cat"]


def test_rows_follow_the_index_and_splits_meet_it_on_the_sample() -> None:
    data = gather(INDEX, SPLITS, [np.zeros(4)])
    assert {name: rows.tolist() for name, rows in data.rows.items()} == {
        "train": [0, 2],
        "validation": [1],
        "test": [3],
    }
    assert data.label.tolist() == [1, 0, 1, 0]
    assert data.sample_id.tolist() == ["a", "b", "c", "d"]
    assert data.sample_id.dtype.kind == "U"
    assert data.classes == ["ant", "cat"]


def test_an_image_that_a_study_leaves_out_is_in_no_split() -> None:
    data = gather(INDEX, SPLITS.iloc[:3], [np.zeros(4)])
    assert data.rows["train"].tolist() == [2]


def test_a_split_without_images_is_named() -> None:
    with pytest.raises(UserError) as error:
        gather(INDEX, SPLITS.assign(split="train"), [np.zeros(4)])
    assert str(error.value) == "the validation split holds none of the 4 images; raise its share under split"


def test_a_sample_in_two_splits_is_an_error() -> None:
    with pytest.raises(pd.errors.MergeError):
        gather(INDEX, pd.concat([SPLITS, SPLITS.iloc[:1]]), [np.zeros(4)])
