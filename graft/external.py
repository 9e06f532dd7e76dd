"""Predictions that another program made: an ``.npz`` file in our format, or a CSV file."""

from pathlib import Path
from typing import Any

import numpy as np

from graft.errors import UserError
from graft.predictions import SPLITS, Predictions, SplitPredictions, check_split, load_predictions
from graft.words import nearest

FIRST = ("sample_id", "split", "label")
"""The columns of a CSV file that are no class."""


def _read_table(path: Path) -> Any:
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(FIRST, str), keep_default_na=False, na_values=[])
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path}: not a CSV file ({str(error).splitlines()[0]})") from error
    if list(table.columns[:3]) != list(FIRST) or len(table.columns) < 5:
        wanted = f"{', '.join(FIRST)}, and the probability of each class under its name"
        raise UserError(f"{path}: its columns must be {wanted}; they are {', '.join(map(str, table.columns[:8]))}")
    return table


def _split(path: Path, table: Any, split: str, classes: list[str]) -> SplitPredictions:
    rows = table[table["split"] == split]
    try:
        probability = rows[classes].to_numpy(np.float64)
    except ValueError as error:
        raise UserError(f"{path}: a probability of the {split} split is no number ({error})") from error
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN fails this too
        raise UserError(f"{path}: a probability of the {split} split is not between 0 and 1")
    with np.errstate(divide="ignore"):
        log_prob = np.log(probability).astype(np.float32)
    position = {name: number for number, name in enumerate(classes)}
    label = rows["label"].map(position).to_numpy(np.int64)
    return SplitPredictions(rows["sample_id"].to_numpy(str), label, log_prob)


def load_external(path: str | Path) -> Predictions:
    """The predictions in a file that this program did not write.

    An ``.npz`` is one of :mod:`graft.predictions`. A ``.csv`` has the columns ``sample_id``, ``split`` (``validation`` or
    ``test``), ``label`` (the name of the true class), and then one of each class, in the order of the classes, with its
    probability.

    Raises:
        UserError: the file is of neither format, or damaged; the text says where.
    """
    path = Path(path)
    if path.suffix != ".csv":
        return load_predictions(path)
    table = _read_table(path)
    classes = [str(name) for name in table.columns[3:]]
    for column, allowed in (("split", list(SPLITS)), ("label", classes)):
        if len(odd := table.index[~table[column].isin(allowed)]):
            value = str(table[column][odd[0]])
            hint = nearest(value, allowed) or f"; allowed: {', '.join(allowed[:10])}"
            raise UserError(f"{path}, line {odd[0] + 2}: {column}: {value!r} is not allowed{hint}")
    splits = {split: _split(path, table, split, classes) for split in SPLITS}
    for name, split in splits.items():
        check_split(str(path), name, split, len(classes))
    return Predictions(classes, splits)
