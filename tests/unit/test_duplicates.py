import io
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits, load_sample_images

import graft.duplicates
from graft.duplicates import find_leaks, near_hashes
from graft.images import decode, perceptual_hash

Pairs = set[tuple[str, str]]


def hashes(*values: int) -> pd.Series:
    return pd.Series([f"{value:016x}" for value in values], dtype="str")


def found(phash: pd.Series) -> Pairs:
    table = near_hashes(phash)
    pairs = list(table.itertuples(index=False, name=None))
    assert list(table.columns) == ["phash", "other"]
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def by_brute_force(phash: Sequence[str]) -> Pairs:
    """The first of a pair is the lower."""
    different = sorted(set(phash))
    pairs = combinations(different, 2)
    return {(one, other) for one, other in pairs if (int(one, 16) ^ int(other, 16)).bit_count() <= 4}


# -- near hashes ---------------------------------------------------------------------------------------------------------


def recompressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return decode(buffer.getvalue())


COPIES = {
    "recompressed": recompressed,
    "resized": lambda image: image.resize((image.width * 9 // 10, image.height * 9 // 10)),
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
}


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    tops, lefts = (0, 100, 200), (0, 150, 300)
    wholes = [Image.fromarray(image) for image in load_sample_images().images]
    return [image.crop((left, top, left + 320, top + 220)) for image in wholes for top in tops for left in lefts]


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_changed_copies_of_photographs_are_found_and_no_others(photos: list[Image.Image], change: object) -> None:
    originals = [perceptual_hash(photo) for photo in photos]
    copies = [perceptual_hash(change(photo)) for photo in photos]  # type: ignore[operator]
    pairs = found(pd.Series([*originals, *copies]))
    assert pairs == by_brute_force([*originals, *copies])
    twins = [tuple(sorted(pair)) for pair in zip(originals, copies, strict=True)]
    assert pairs <= set(twins)
    assert sum(len(set(twin)) == 1 or twin in pairs for twin in twins) >= 0.9 * len(twins)


def test_near_hashes_of_the_digits_are_those_of_all_pairs() -> None:
    images = np.round(load_digits().images[:900] * (255 / 16)).astype(np.uint8)
    phash = [perceptual_hash(Image.fromarray(image)) for image in images]
    pairs = found(pd.Series(phash))
    assert pairs == by_brute_force(phash)
    assert len(pairs) > 20


BITS = st.integers(0, 2**64 - 1)
CLOSE = st.lists(st.integers(0, 63), max_size=6).map(lambda bits: sum(1 << bit for bit in set(bits)))


@given(st.lists(BITS, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 3), CLOSE), max_size=25))
def test_near_hashes_are_those_of_all_pairs(centres: list[int], offsets: list[tuple[int, int]]) -> None:
    values = hashes(*centres, *(centres[k % len(centres)] ^ bits for k, bits in offsets))
    assert found(values) == by_brute_force(values.tolist())


@given(BITS, st.integers(1, 5))
def test_equal_hashes_are_no_pair(value: int, times: int) -> None:
    assert found(hashes(*[value] * times)) == set()


@given(BITS, st.permutations(range(64)))
def test_four_bits_are_near_and_five_are_not_wherever_they_are(value: int, order: list[int]) -> None:
    four, five = (value ^ sum(1 << bit for bit in order[:count]) for count in (4, 5))
    assert len(found(hashes(value, four))) == 1
    assert len(found(hashes(value, five))) == 0
    assert len(found(hashes(value, four, five))) == 2  # the one bit between them


@pytest.mark.parametrize("bits", [(0, 13, 26, 39), (12, 25, 38, 51), (13, 26, 39, 52), (63, 0, 20, 40), (0, 1, 2, 3)])
def test_four_bits_may_be_spread_over_the_hash(bits: tuple[int, ...]) -> None:
    value = 0x0123456789ABCDEF
    assert len(found(hashes(value, value ^ sum(1 << bit for bit in bits)))) == 1


def test_many_hashes_that_agree_in_a_part_are_compared_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = hashes(*(k * 0x9E3779B1 % 2**12 for k in range(300)))  # their upper 52 bits are zero
    expected = by_brute_force(values.tolist())
    assert len(expected) > 300
    for block in (1, 1000, 2**22):
        monkeypatch.setattr(graft.duplicates, "BLOCK", block)
        assert found(values) == expected


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_or_one_has_no_near_one(count: int) -> None:
    table = near_hashes(hashes(*range(count)))
    assert table.empty
    pd.testing.assert_series_equal(table.dtypes, near_hashes(hashes(0, 1)).dtypes)


def test_hashes_are_written_with_all_their_digits() -> None:
    assert found(hashes(0x1F, 0xF)) == {("000000000000000f", "000000000000001f")}


# -- leaks ---------------------------------------------------------------------------------------------------------------

A, B, C, D, OTHER = "0000000000000000", "000000000000000f", "00000000000000ff", "0000000000000fff", "ffff000000000000"


def table(*rows: tuple[str, str, str]) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Index, splits and near hashes of images given as (sha1, phash, split); their ids are their numbers."""
    frame = pd.DataFrame(rows, columns=["sha1", "phash", "split"], dtype="str")
    index = frame.assign(sample_id=[str(row) for row in range(len(frame))])
    return index, frame["split"].to_numpy(str), near_hashes(frame["phash"])


def leaks(*rows: tuple[str, str, str], chains: bool = False) -> list[tuple[str, ...]]:
    found = find_leaks(*table(*rows), chains=chains)
    assert list(found.columns) == ["sample_id", "split", "copy", "copy_split", "kind"]
    return list(found.itertuples(index=False, name=None))


def test_copies_within_a_split_are_no_leak() -> None:
    assert (
        leaks(("x", A, "train"), ("x", A, "train"), ("y", B, "train"), ("z", OTHER, "test"), ("z", OTHER, "test")) == []
    )


@pytest.mark.parametrize(("held_in", "held_out"), [("train", "validation"), ("train", "test"), ("validation", "test")])
@pytest.mark.parametrize("turned", [False, True])
def test_the_image_that_is_held_out_less_is_the_leak(held_in: str, held_out: str, turned: bool) -> None:
    rows = [("x", A, held_in), ("x", A, held_out)]
    leak = ("1", held_in, "0", held_out, "exact") if turned else ("0", held_in, "1", held_out, "exact")
    assert leaks(*(rows[::-1] if turned else rows)) == [leak]


@pytest.mark.parametrize("chains", [False, True])
def test_a_test_image_counts_before_one_for_validation(chains: bool) -> None:
    rows = [("x", A, "train"), ("x", A, "validation"), ("x", A, "test"), ("x", A, "train")]
    assert leaks(*rows, chains=chains) == [
        ("0", "train", "2", "test", "exact"),
        ("1", "validation", "2", "test", "exact"),
        ("3", "train", "2", "test", "exact"),
    ]
    near = [("x", A, "train"), ("y", B, "validation"), ("z", A, "test")]
    assert leaks(*near, chains=chains) == [
        ("0", "train", "2", "test", "near"),
        ("1", "validation", "2", "test", "near"),
    ]


def test_an_exact_copy_counts_before_a_near_one() -> None:
    rows = [("x", A, "train"), ("x", A, "validation"), ("y", B, "test")]
    assert leaks(*rows) == [("0", "train", "1", "validation", "exact"), ("1", "validation", "2", "test", "near")]


def test_equal_perceptual_hashes_of_different_pixels_are_near() -> None:
    assert leaks(("x", A, "test"), ("y", A, "train")) == [("1", "train", "0", "test", "near")]


def test_a_copy_of_a_copy_counts_in_chains_only() -> None:
    rows = [("a", A, "train"), ("b", B, "train"), ("c", C, "validation"), ("d", D, "test")]
    assert leaks(*rows) == [("1", "train", "2", "validation", "near"), ("2", "validation", "3", "test", "near")]
    assert leaks(*rows, chains=True) == [
        ("0", "train", "3", "test", "chain"),
        ("1", "train", "3", "test", "chain"),
        ("2", "validation", "3", "test", "near"),
    ]


def test_near_hashes_of_images_that_are_not_in_the_index_do_not_matter() -> None:
    index, split, near = table(("a", A, "train"), ("b", B, "validation"), ("c", C, "test"))
    part = index.iloc[[0, 2]].reset_index(drop=True)
    for chains in (False, True):
        assert find_leaks(part, split[[0, 2]], near, chains=chains).empty


@pytest.mark.parametrize("chains", [False, True])
def test_no_image_has_no_leak(chains: bool) -> None:
    assert leaks(chains=chains) == []


IMAGE = st.tuples(
    st.sampled_from("uvwxyz"), st.sampled_from([A, B, C, D, OTHER]), st.sampled_from(["train", "validation", "test"])
)


@given(st.lists(IMAGE, max_size=14), st.booleans())
def test_leaks_are_those_that_all_pairs_of_images_show(images: list[tuple[str, str, str]], chains: bool) -> None:
    phash = {sha1: phash for sha1, phash, _ in images}  # equal pixels have equal hashes
    rows = [(sha1, phash[sha1], split) for sha1, _, split in images]
    near = {frozenset(pair) for pair in by_brute_force([row[1] for row in rows])}
    alike = {row: {k for k, other in enumerate(rows) if other[1] == rows[row][1]} for row in range(len(rows))}
    direct = {row: {k for k, o in enumerate(rows) if frozenset((rows[row][1], o[1])) in near} for row in alike}
    copies = {row: alike[row] | direct[row] for row in alike}
    for _ in rows if chains else ():
        copies = {row: set().union(*(copies[k] for k in found)) for row, found in copies.items()}
    rank = {"train": 0, "validation": 1, "test": 2}
    expected = {}
    for row, (sha1, _, split) in enumerate(rows):
        exact = {k for k, other in enumerate(rows) if other[0] == sha1}
        for kind, found in (("near", copies[row]), ("exact", exact)):
            most = max(rank[rows[k][2]] for k in found)
            if most > rank[split]:
                expected[str(row)] = (kind, most, {str(k) for k in found if rank[rows[k][2]] == most})
    seen = {row: (kind, rank[split], copy) for row, _, copy, split, kind in leaks(*rows, chains=chains)}
    assert seen.keys() == expected.keys()
    for row, (kind, most, copy) in seen.items():
        assert (kind, most) == expected[row][:2]
        assert copy in expected[row][2]
