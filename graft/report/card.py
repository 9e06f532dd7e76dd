"""The data card: what a data set holds, whatever studies make of it; and the description that reports share with it."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

import graft
from graft.report import text

SPLITS = ("train", "validation", "test", "")
MANY_CLASSES = 30
BINS = 32
MOST_GROUPS, MOST_MEMBERS = 20, 6
MOST_QUARANTINED = 50
GAP = 4  # pixels between thumbnails
RESIZED = {
    "squash": "the sides squashed to a square",
    "crop": "the middle square, the rest cut off",
    "pad": "fitted into a square with black borders",
}


class Origin(NamedTuple):
    """Where images come from and how they become arrays; ``source`` is the name of the source and its options."""

    source: Mapping[str, Any]
    resize: str
    interpolation: str
    licence: str | None = None
    page: str | None = None


class Examples(NamedTuple):
    """``rows`` (k,) of the index, their ``thumbnails`` (k, h, w, 3) and the ``mean`` image (h, w, 3), pixels uint8."""

    rows: np.ndarray
    thumbnails: np.ndarray
    mean: np.ndarray


# -- classes and sizes ---------------------------------------------------------------------------------------------------


def _steps(values: np.ndarray) -> str:
    """The outline of bars of width 1 as an SVG path; the highest of them is 100 high."""
    tops = 100 - 100 * values / values.max()
    return "M0,100" + "".join(f"V{top:.4g}h1" for top in tops) + "V100Z"


def _extreme(names: Sequence[str], images: np.ndarray, value: int) -> dict[str, Any]:
    positions = np.flatnonzero(images == value)
    return {"name": names[positions[0]], "images": value, "others": len(positions) - 1}


def _count_classes(index: pd.DataFrame, splits: Sequence[str]) -> dict[str, Any]:
    counts = index.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=list(splits), fill_value=0)
    names = index.drop_duplicates("label").set_index("label")["class_name"].loc[counts.index].tolist()
    images = counts.sum(axis=1).to_numpy()
    most, least = int(images.max()), int(images.min())
    shown = [] if list(splits) == [""] else list(splits)  # one number says it all where no split is published
    return {
        "splits": shown,
        "rows": [
            {
                "name": name,
                "images": sum(row),
                "counts": row if shown else [],
                "bars": [(split, round(100 * n / most, 1)) for split, n in zip(splits, row, strict=True)],
            }
            for name, row in zip(names, counts.to_numpy().tolist(), strict=True)
        ],
        "images": len(index),
        "totals": counts.sum().tolist() if shown else [],
        "without": {split: [names[k] for k in np.flatnonzero(counts[split] == 0)] for split in splits},
        "largest": _extreme(names, images, most),
        "smallest": _extreme(names, images, least),
        "ratio": text.ratio(most / least),
        "many": len(names) > MANY_CLASSES,
        "steps": _steps(np.sort(images)[::-1]),
    }


def _histogram(values: np.ndarray) -> dict[str, Any]:
    low, high = int(values.min()), int(values.max())
    step = -(-(high - low + 1) // BINS)
    counts = np.bincount((values - low) // step)
    facts = {"low": low, "high": high, "step": step, "most": int(counts.max())}
    return {**facts, "bins": len(counts), "steps": _steps(counts)}


def _describe_sizes(index: pd.DataFrame) -> dict[str, Any]:
    width, height = index["width"].to_numpy(), index["height"].to_numpy()
    order = np.lexsort((width, width * height))
    shown = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    sides = {"Width": width, "Height": height}
    return {
        **{name: text.size(width[row], height[row]) for name, row in shown.items()},
        "histograms": {name: _histogram(side) for name, side in sides.items() if side.min() < side.max()},
    }


# -- copies --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Alike:
    """What images (n,) share, as numbers: ``pixels``, ``hashes`` and ``labels``; ``pairs`` (k, 2) of hashes are near."""

    pixels: np.ndarray
    hashes: np.ndarray
    labels: np.ndarray
    pairs: np.ndarray

    def count(self, *shared: np.ndarray) -> np.ndarray:
        """For each image, how many have the same numbers, itself among them."""
        counts: np.ndarray = pd.Series(self.labels).groupby(list(shared)).transform("size").to_numpy()
        return counts

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest label of each hash."""
        labels = pd.Series(self.labels).groupby(self.hashes)
        return labels.min().to_numpy(), labels.max().to_numpy()


def _alike(index: pd.DataFrame, near: pd.DataFrame) -> _Alike:
    numbers, hashes = pd.factorize(index["phash"])
    pairs = pd.Index(hashes).get_indexer(near[["phash", "other"]].to_numpy().ravel()).reshape(-1, 2)
    pairs = np.unique(np.sort(pairs[(pairs >= 0).all(axis=1)], axis=1), axis=0)
    return _Alike(pd.factorize(index["sha1"])[0], numbers, index["label"].to_numpy(), pairs)


def _differ_in_hash(alike: _Alike) -> np.ndarray:
    """Which images have one of the same hash, other pixels and another label."""
    others = alike.count(alike.hashes) - alike.count(alike.hashes, alike.labels)
    differ: np.ndarray = others > alike.count(alike.pixels) - alike.count(alike.pixels, alike.labels)
    return differ


def _differ_in_pair(alike: _Alike) -> np.ndarray:
    """Which images have one of another hash, near theirs, and another label."""
    lowest, highest = alike.ends()
    low, high = np.full_like(lowest, alike.labels.max()), np.full_like(lowest, alike.labels.min())
    for here, there in (alike.pairs.T, alike.pairs.T[::-1]):
        np.minimum.at(low, here, lowest[there])
        np.maximum.at(high, here, highest[there])
    others: np.ndarray = (low[alike.hashes] < alike.labels) | (high[alike.hashes] > alike.labels)
    return others & np.isin(alike.hashes, alike.pairs)


def _groups(alike: _Alike, exact: np.ndarray, in_hash: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Kind and rows of copies with different labels: of equal pixels, of the same hash, then of a pair of hashes.

    ``exact`` and ``in_hash`` (n,) say which images are among the first two. No hash comes twice.
    """
    seen: set[int] = set()
    for number in pd.unique(alike.pixels[exact]):
        rows = np.flatnonzero(alike.pixels == number)
        seen.add(int(alike.hashes[rows[0]]))
        yield "exact", rows
    lowest, highest = alike.ends()
    differ = lowest[alike.pairs].min(axis=1) < highest[alike.pairs].max(axis=1)
    same = np.unique(alike.hashes[in_hash])
    for pair in [*zip(same.tolist(), same.tolist(), strict=True), *alike.pairs[differ].tolist()]:
        if seen.isdisjoint(pair):
            seen.update(pair)
            yield "near", np.flatnonzero(np.isin(alike.hashes, pair))


def _group(index: pd.DataFrame, kind: str, rows: np.ndarray) -> dict[str, Any]:
    """What is shown of a group: a few images, of as many classes as there are."""
    members = index.iloc[rows]
    turns = np.argsort(members.groupby("label").cumcount().to_numpy(), kind="stable")[:MOST_MEMBERS]
    shown = members[["source", "class_name"]].iloc[turns].to_numpy().tolist()
    return {"kind": kind, "images": shown, "more": len(rows) - len(shown)}


def _describe_copies(index: pd.DataFrame, near: pd.DataFrame) -> dict[str, Any]:
    alike = _alike(index, near)
    hashed = bool((index["phash"] != "").all())
    exact = alike.count(alike.pixels) > alike.count(alike.pixels, alike.labels)
    in_hash = _differ_in_hash(alike) & hashed
    beside = np.isin(alike.hashes, alike.pairs) | (alike.count(alike.hashes) > alike.count(alike.pixels))
    groups = [_group(index, *found) for found in islice(_groups(alike, exact, in_hash), MOST_GROUPS)]
    return {
        "hashed": hashed,
        "exact": int((alike.count(alike.pixels) > 1).sum()),
        "exact_differ": int(exact.sum()),
        "near": int((beside & hashed).sum()),
        "near_differ": int((in_hash | _differ_in_pair(alike)).sum()),
        "groups": groups,
        "full": len(groups) == MOST_GROUPS,
    }


# -- the card ------------------------------------------------------------------------------------------------------------


def describe(
    index: pd.DataFrame, near: pd.DataFrame, quarantine: pd.DataFrame, splits: Sequence[str] | None = None
) -> dict[str, Any]:
    """What a data set holds, as plain values: images, classes, sizes, copies, and images that could not be used.

    ``index`` has a row per image; ``near`` has the pairs of hashes that :func:`~graft.duplicates.near_hashes` found,
    among them perhaps hashes of other images; ``quarantine`` has ``source``, ``class_name`` and ``reason``. ``splits``
    are those to count, by default all that occur in ``index``.
    """
    present = set(index["split"].unique())
    return {
        "images": len(index),
        "classes": _count_classes(index, splits or [split for split in SPLITS if split in present]),
        "sizes": _describe_sizes(index),
        "copies": _describe_copies(index, near),
        "quarantine": {
            "images": len(quarantine),
            "share": text.percent(len(quarantine) / (len(index) + len(quarantine))),
            "rows": quarantine[["source", "class_name", "reason"]].head(MOST_QUARANTINED).to_numpy().tolist(),
            "more": max(len(quarantine) - MOST_QUARANTINED, 0),
        },
    }


def _picture(pixels: np.ndarray) -> dict[str, Any]:
    """An image, uint8 (h, w, 3 or 4), as the page shows it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=80)
    height, width, _ = pixels.shape
    source = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"source": source, "width": width, "height": height}


def _strip(thumbnails: np.ndarray) -> np.ndarray:
    """Thumbnails (k, h, w, 3) side by side, transparent between them."""
    opaque = np.pad(thumbnails, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=255)
    spaced = np.pad(opaque, [(0, 0), (0, 0), (0, GAP), (0, 0)])
    strip: np.ndarray = np.concatenate(list(spaced), axis=1)[:, :-GAP]
    return strip


def _samples(index: pd.DataFrame, examples: Examples) -> list[dict[str, Any]]:
    """A row of thumbnails for each class that has some, in the order of labels."""
    shown = index.iloc[examples.rows].reset_index(drop=True)
    return [
        {"name": shown["class_name"][rows[0]], "images": len(rows), **_picture(_strip(examples.thumbnails[rows]))}
        for _, rows in sorted(shown.groupby("label").indices.items())
    ]


def render_card(
    dataset: str,
    origin: Origin,
    index: pd.DataFrame,
    near: pd.DataFrame,
    quarantine: pd.DataFrame,
    examples: Examples,
) -> str:
    """The card of a data set as HTML: styles and images inside, no scripts, nothing fetched; names are escaped.

    ``index``, ``near`` and ``quarantine`` are those of :func:`describe`. Equal values give equal text.
    """
    return text.render(
        "card.html.j2",
        dataset=dataset,
        version=graft.__version__,
        source=origin.source["name"],
        options={key: text.number(value) for key, value in origin.source.items() if key != "name"},
        licence=origin.licence,
        page=origin.page if (origin.page or "").startswith(("https://", "http://")) else None,
        resized=f"{RESIZED[origin.resize]}, {origin.interpolation} interpolation",
        samples=_samples(index, examples),
        mean=_picture(examples.mean),
        **describe(index, near, quarantine),
    )
