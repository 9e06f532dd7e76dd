"""Prepared data as the later stages read it: memory-mapped arrays, their index, and the splits of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from graft.errors import UserError
from graft.files import verified, verified_all
from graft.soft_labels import SoftLabels, in_rows, load_soft_labels


class Data(NamedTuple):
    """Arrays of n rows each, their labels (n,), sample ids (n,), the rows of each split, and the class names.

    ``soft_labels`` (n, classes) float32, where there are any, are an ensemble's log probabilities of training images.
    """

    inputs: Sequence[np.ndarray]
    label: np.ndarray
    sample_id: np.ndarray
    rows: Mapping[str, np.ndarray]
    classes: list[str]
    soft_labels: np.ndarray | None = None


def open_arrays(sums: str | Path) -> list[np.ndarray]:
    """The arrays in the folder of ``sums``, once their checksums agree; read from disk as they are used."""
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in verified_all(sums)]


def open_inputs(images: str | Path, features: str | Path | None) -> list[np.ndarray]:
    """What a network trains on: the stored activations of its frozen part, if there are any, else the images."""
    stored = [path for path in verified_all(features) if path.suffix == ".npy"] if features else []
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in stored] or open_arrays(images)


def open_soft_labels(path: str | Path | None) -> SoftLabels | None:
    """The soft labels in a file, once its checksum agrees, if there is one."""
    return load_soft_labels(verified(path)) if path else None


def gather(
    index: pd.DataFrame,
    splits: pd.DataFrame,
    inputs: Sequence[np.ndarray],
    soft_labels: SoftLabels | None = None,
) -> Data:
    """Bring arrays, whose rows follow ``index``, and the splits of a study together.

    The classes are those of the images that are in a split, in the order of the index's labels; labels are positions
    among them, and -1 for images of other classes.

    Raises:
        UserError: a split that every stage needs has no image, or a training image lacks a soft label where others have
            one.
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
    sample_id = joined["sample_id"].to_numpy(str)
    taught = in_rows(soft_labels, sample_id, rows["train"], classes) if soft_labels else None
    return Data(inputs, label, sample_id, rows, classes, taught)
