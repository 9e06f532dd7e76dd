"""Prepared data as the later stages read it: memory-mapped arrays, their index, and the splits of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from graft.errors import UserError
from graft.files import verified_all


class Data(NamedTuple):
    """Arrays of n rows each, their labels (n,), sample ids (n,), the rows of each split, and the class names."""

    inputs: Sequence[np.ndarray]
    label: np.ndarray
    sample_id: np.ndarray
    rows: Mapping[str, np.ndarray]
    classes: list[str]


def open_arrays(sums: str | Path) -> list[np.ndarray]:
    """The arrays in the folder of ``sums``, once their checksums agree; read from disk as they are used."""
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in verified_all(sums)]


def class_names(index: pd.DataFrame) -> list[str]:
    """The class names of an index, in the order of their labels.

    Raises:
        UserError: a class has no image, so that labels would not be positions in the list.
    """
    named = index[["label", "class_name"]].drop_duplicates().sort_values("label")
    absent = sorted(set(range(len(named))) - set(named["label"]))
    if absent:
        raise UserError(f"the index has no image of class number {absent[0]}; every class needs images")
    return [str(name) for name in named["class_name"]]


def gather(index: pd.DataFrame, splits: pd.DataFrame, inputs: Sequence[np.ndarray]) -> Data:
    """Bring arrays, whose rows follow ``index``, and the splits of a study together.

    Raises:
        UserError: a split that every stage needs has no image.
    """
    joined = index.merge(splits, on="sample_id", how="left", validate="one_to_one")
    rows = {name: np.flatnonzero(joined["split"] == name) for name in ("train", "validation", "test")}
    for name, chosen in rows.items():
        if not len(chosen):
            raise UserError(f"the {name} split holds none of the {len(index)} images; raise its share under split")
    return Data(inputs, joined["label"].to_numpy(), joined["sample_id"].to_numpy(str), rows, class_names(index))
