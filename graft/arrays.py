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


def open_inputs(images: str | Path, features: str | Path | None) -> list[np.ndarray]:
    """What a network trains on: the stored activations of its frozen part, if there are any, else the images."""
    stored = [path for path in verified_all(features) if path.suffix == ".npy"] if features else []
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in stored] or open_arrays(images)


def gather(index: pd.DataFrame, splits: pd.DataFrame, inputs: Sequence[np.ndarray]) -> Data:
    """Bring arrays, whose rows follow ``index``, and the splits of a study together.

    The classes are those of the images that are in a split, in the order of the index's labels; labels are positions
    among them, and -1 for images of other classes.

    Raises:
        UserError: a split that every stage needs has no image.
    """
    named = index[["sample_id", "label", "class_name"]]  # what the source published as splits is not what a study uses
    joined = named.merge(splits, on="sample_id", how="left", validate="one_to_one")
    rows = {name: np.flatnonzero(joined["split"] == name) for name in ("train", "validation", "test")}
    for name, chosen in rows.items():
        if not len(chosen):
            raise UserError(
                f"the {name} split holds none of the {len(index)} images; raise its share under split, or its subset"
            )
    used = joined[joined["split"].notna()].drop_duplicates("label").sort_values("label")
    position = pd.Series(np.arange(len(used)), index=used["label"])
    label = joined["label"].map(position).fillna(-1).to_numpy(np.int64)
    classes = [str(name) for name in used["class_name"]]
    return Data(inputs, label, joined["sample_id"].to_numpy(str), rows, classes)
