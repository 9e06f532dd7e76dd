"""Which images of a data set are copies of each other: equal pixels, or perceptual hashes that nearly agree.

Two images are near duplicates if their 64-bit pHashes (Zauner, "Implementation and benchmarking of perceptual image hash
functions", 2010) differ in at most 4 bits. Photographs that do are the same photograph; of things that are all
photographed alike, such as digits, clothes or solar cells, they may also be two that look alike.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

DISTANCE = 4
BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # one more than DISTANCE: near hashes agree in one at least
BLOCK = 2**22
RANK = {"train": 0, "validation": 1, "test": 2}


def _near_values(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of different values, uint64 (n,), that differ in at most ``DISTANCE`` bits; a pair may come again."""
    for start, width in BANDS:
        part = (values >> np.uint64(start)) & np.uint64(2**width - 1)
        order = np.argsort(part, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            step = max(1, BLOCK // max(1, len(bucket)))
            for first in range(0, len(bucket) - 1, step):
                rows, others = bucket[first : first + step], bucket[first + 1 :]
                near = np.bitwise_count(values[rows, None] ^ values[None, others]) <= DISTANCE
                one, other = np.nonzero(near)
                yield values[rows[one]], values[others[other]]


def near_hashes(phash: pd.Series) -> pd.DataFrame:
    """The pairs of different perceptual hashes, 16 hexadecimal digits, that are near: columns ``phash`` and ``other``."""
    values = np.array([int(text, 16) for text in phash.unique()], dtype=np.uint64)
    found = [np.stack([np.minimum(*pair), np.maximum(*pair)], axis=1) for pair in _near_values(values)]
    pairs = np.unique(np.concatenate([np.empty((0, 2), dtype=np.uint64), *found]), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    texts = [[f"{value:016x}" for value in column] for column in pairs.T]
    return pd.DataFrame(dict(zip(("phash", "other"), texts, strict=True)), dtype="str")


def _best_copy(code: np.ndarray, rank: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """For each image the position of the most held-out image among itself and its copies.

    ``code`` (n,) numbers what equal images share, ``rank`` (n,) is high for held-out splits, ``pairs`` (k, 2) are
    numbers that are near.
    """
    first = np.lexsort((np.arange(len(code)), -rank, code))
    best = first[np.unique(code[first], return_index=True)[1]]  # by number: the most held-out of its images
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(rank[best[both[:, 1]]], kind="stable")]
    copy = best.copy()
    copy[both[:, 0]] = best[both[:, 1]]  # the last, so the most held-out, stays
    most: np.ndarray = np.where(rank[copy] > rank[best], copy, best)[code]
    return most


def _chains(pairs: np.ndarray, count: int) -> np.ndarray:
    """For each of ``count`` numbers the number of the chain of near pairs that it is in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), dtype=bool), pairs.T), shape=(count, count))
    chains: np.ndarray = connected_components(graph, directed=False)[1]
    return chains


def find_leaks(index: pd.DataFrame, split: np.ndarray, near: pd.DataFrame, *, chains: bool = False) -> pd.DataFrame:
    """The images that have a copy in a split which is held out more: test before validation before train.

    ``index`` has ``sample_id``, ``sha1`` and ``phash``, ``split`` (n,) the split of each of its images, and ``near``
    is as :func:`near_hashes` returns it. With ``chains`` copies of copies count too, however long the chain. Columns:
    ``sample_id``, ``split``, ``copy`` and ``copy_split`` (the image that is held out more), and ``kind``: ``exact``,
    ``near``, or ``chain`` for a copy of a copy.
    """
    rank = np.array([RANK[name] for name in split], dtype=np.int64)
    none = np.empty((0, 2), dtype=np.int64)
    exact = _best_copy(pd.factorize(index["sha1"])[0], rank, none)
    code, hashes = pd.factorize(index["phash"])
    pairs = pd.Index(hashes).get_indexer(near[["phash", "other"]].to_numpy().ravel()).reshape(-1, 2)
    pairs = pairs[(pairs >= 0).all(axis=1)]
    direct = _best_copy(code, rank, pairs)
    alike = _best_copy(_chains(pairs, len(hashes))[code], rank, none) if chains else direct
    alike = np.where(rank[direct] == rank[alike], direct, alike)
    is_exact = rank[exact] > rank
    copy = np.where(is_exact, exact, alike)
    leaks = np.flatnonzero(rank[copy] > rank)
    ids = index["sample_id"].to_numpy(str)
    return pd.DataFrame(
        {
            "sample_id": ids[leaks],
            "split": split[leaks],
            "copy": ids[copy[leaks]],
            "copy_split": split[copy[leaks]],
            "kind": np.select([is_exact[leaks], (copy == direct)[leaks]], ["exact", "near"], "chain"),
        },
        dtype="str",
    )
