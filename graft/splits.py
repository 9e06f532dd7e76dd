"""Which image belongs to which split: decided image by image, so that a later image moves no other."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from graft.duplicates import find_leaks
from graft.errors import UserError
from graft.words import nearest

SPLITS = ("train", "validation", "test")


def _position(seed: int, sha1: str) -> float:
    digest = hashlib.sha256(f"{seed}/{sha1}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check_shares(published: set[str], shares: Mapping[str, float | None]) -> None:
    problems = [
        f"the source publishes no {name} split; give split.{name} a share, such as 0.1"
        for name, share in shares.items()
        if share is None and name not in published
    ]
    problems += [
        f"the source publishes its {name} split; leave split.{name} out"
        for name, share in shares.items()
        if share is not None and name in published
    ]
    if problems:
        raise UserError("; ".join(problems))


def assign_splits(
    index: pd.DataFrame, *, validation: float | None = None, test: float | None = None, seed: int = 0
) -> np.ndarray:
    """``train``, ``validation`` or ``test`` for every image of ``index`` (columns ``sha1`` and ``split``), (n,) of text.

    Published splits stay. Of the other images, and of those published for training, a hash of seed and pixels places
    each between 0 and 1; the lowest ``test`` of that range is the test split, the next ``validation`` the validation
    split. Shares are therefore met in expectation, in each class too; equal images share a split, whatever their labels;
    and adding images moves none.

    Raises:
        UserError: a share is given for a split that is published, or none for one that is not.
    """
    published = index["split"].to_numpy(str)
    _check_shares({*published}, {"validation": validation, "test": test})
    positions = np.array([_position(seed, sha1) for sha1 in index["sha1"]])
    made = np.select(
        [positions < (test or 0), positions < (test or 0) + (validation or 0)], ["test", "validation"], "train"
    )
    return np.where(np.isin(published, ["", "train"]), made, published)


def settle_leaks(
    index: pd.DataFrame, split: np.ndarray, near: pd.DataFrame, leakage: str = "report"
) -> tuple[np.ndarray, pd.DataFrame]:
    """Deal with images that have a copy in a split which is held out more.

    ``index``, ``split`` and ``near`` are those of :func:`~graft.duplicates.find_leaks`. Exact copies are left out in any
    case. Near ones are kept (``report``), left out (``drop``), or join that split with all their copies (``move``),
    unless it is a published one, which stays as it is: then they are left out. Returns the splits, empty for images
    left out, and the table of leaks with the further column ``action``: ``left out``, ``moved`` or ``reported``.
    """
    leaks = find_leaks(index, split, near, chains=leakage == "move")
    published = index["split"].unique()
    near_ones = leaks["kind"] != "exact"
    may_move = ~leaks["copy_split"].isin(published) & near_ones
    keep = np.select([leakage == "report", leakage == "move"], [near_ones, may_move], False)
    action = np.where(keep, "reported" if leakage == "report" else "moved", "left out")
    settled = pd.Series(split.astype(object), index=index["sample_id"].to_numpy())
    settled[leaks["sample_id"][action == "left out"]] = ""
    settled[leaks["sample_id"][action == "moved"]] = leaks["copy_split"][action == "moved"].to_numpy()
    return settled.to_numpy(str), leaks.assign(action=action)


def of_classes(index: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Which rows (n,) of an index are of the named classes.

    Raises:
        UserError: a class is not in the index.
    """
    known = sorted(index["class_name"].unique())
    for name in classes:
        if name not in known:
            raise UserError(f"subset.classes: {name!r} is not a class of this data set{nearest(name, known)}")
    return index["class_name"].isin(list(classes)).to_numpy()


def thin_out(
    index: pd.DataFrame,
    split: np.ndarray,
    *,
    fraction: float = 1.0,
    per_class: Mapping[str, int] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Leave images out of splits: of each class, ``fraction`` of the training images stay, rounded up, and at most
    ``per_class[split]`` of each split.

    A hash of seed and pixels decides, so what a smaller fraction or number keeps, a larger one keeps too. Returns the
    splits (n,), empty for images left out.
    """
    position = pd.Series([_position(seed, f"subset/{sha1}") for sha1 in index["sha1"]], dtype=float)
    cells = [index["label"].to_numpy(), split]
    rank = position.groupby(cells).rank(method="first")
    count = position.groupby(cells).transform("size")
    most = np.array([(per_class or {}).get(name, np.inf) for name in split], dtype=float)
    share = np.ceil((fraction * count).round(6))  # 0.07 * 100 is a little more than 7
    most = np.where(split == "train", np.minimum(most, share), most)
    return np.where(rank <= most, split, "")


def split_index(
    index: pd.DataFrame,
    near: pd.DataFrame,
    *,
    shares: Mapping[str, Any],
    leakage: str = "report",
    subset: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The splits of a study: columns ``sample_id`` and ``split`` of every image that it uses, and the table of leaks.

    Leaks are dealt with after classes are chosen and before splits are thinned out; in the table are those between images
    that the study uses, and those of images that were left out for it.
    ``shares`` are the options of :func:`assign_splits`, ``subset`` those of :func:`thin_out` and ``classes``.

    Raises:
        UserError: the shares do not fit the source, or a class does not exist.
    """
    options = dict(subset or {})
    split = assign_splits(index, **shares)
    if "classes" in options:
        chosen = of_classes(index, options.pop("classes"))
        index, split = index[chosen].reset_index(drop=True), split[chosen]
    split, leaks = settle_leaks(index, split, near, leakage)
    split = thin_out(index, split, **options)
    used = split != ""
    splits = pd.DataFrame({"sample_id": index["sample_id"].array[used], "split": split[used]}, dtype="str")
    both = leaks["sample_id"].isin(splits["sample_id"]) & leaks["copy"].isin(splits["sample_id"])
    return splits, leaks[both | (leaks["action"] == "left out")].reset_index(drop=True)


def fold_splits(index: pd.DataFrame, splits: pd.DataFrame, folds: int, fold: int) -> pd.DataFrame:
    """``splits``, as :func:`split_index` makes them, with part ``fold`` of ``folds`` as the validation split.

    Training and validation images are parted: of each class every part has as many, to within one, and equal images of a
    class share a part. The other parts are the training split, and the test split stays (Stone, Cross-Validatory Choice
    and Assessment of Statistical Predictions, Journal of the Royal Statistical Society B 36, 1974).

    Raises:
        UserError: there are fewer images than parts.
    """
    known = splits.merge(index[["sample_id", "label", "sha1"]], on="sample_id", how="left", validate="one_to_one")
    ordered = known[known["split"] != "test"].sort_values(["label", "sha1"], kind="stable")
    image = ordered[["label", "sha1"]]
    number = (image != image.shift()).any(axis=1).cumsum() - 1
    if number.max() + 1 < folds:
        raise UserError(f"folds: {folds} is more than the {number.max() + 1} images to train on and validate; lower it")
    held_out = ordered.index[number % folds == fold]
    split = splits["split"].where(splits["split"] == "test", "train")
    split[held_out] = "validation"
    return splits.assign(split=split)


def _short(name: object) -> str:
    text = " ".join(str(name).split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def split_warnings(index: pd.DataFrame, splits: pd.DataFrame) -> list[str]:
    """One line for each split in which classes that the study uses have no image."""
    used = index[["sample_id", "class_name"]].merge(splits, on="sample_id")
    counts = used.groupby(["class_name", "split"]).size().unstack(fill_value=0).reindex(columns=SPLITS, fill_value=0)
    lines = []
    for split in SPLITS:
        absent = [_short(name) for name in counts.index[counts[split] == 0]]
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            lines.append(f"no image in the {split} split: {', '.join(absent[:5])}{more}")
    return lines
