import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from graft.duplicates import near_hashes
from graft.errors import UserError
from graft.splits import (
    SPLITS,
    assign_splits,
    fold_splits,
    of_classes,
    settle_leaks,
    split_index,
    split_warnings,
    thin_out,
)

NAMES = ("ant", "bee", "cat", "dog")


def index_of(count: int, classes: int = 4, published: Sequence[str] = ("",)) -> pd.DataFrame:
    """An index of ``count`` different images; classes and published splits take turns."""
    names = [f"{k:06}" for k in range(count)]
    label = np.arange(count) % classes
    sha1 = [hashlib.sha1(name.encode()).hexdigest() for name in names]
    return pd.DataFrame(
        {
            "sample_id": pd.Series([f"id{name}" for name in names], dtype="str"),
            "label": label,
            "class_name": pd.Series([NAMES[k % 4] + str(k // 4 or "") for k in label], dtype="str"),
            "split": pd.Series([published[k % len(published)] for k in range(count)], dtype="str"),
            "sha1": pd.Series(sha1, dtype="str"),
            "phash": pd.Series([text[:16] for text in sha1], dtype="str"),  # hashes of hashes are far from each other
        }
    )


NONE_NEAR = near_hashes(pd.Series([], dtype="str"))


def split_of(index: pd.DataFrame, validation: float | None = 0.1, test: float | None = 0.2, seed: int = 0) -> Any:
    """The split of each image by its id."""
    found = assign_splits(index, validation=validation, test=test, seed=seed)
    return dict(zip(index["sample_id"], found.tolist(), strict=True))


SHARES = st.tuples(st.floats(0.01, 0.49), st.floats(0.01, 0.49))
SEEDS = st.integers(0, 2**31 - 1)

# -- shares --------------------------------------------------------------------------------------------------------------


def test_every_image_is_in_one_split_in_the_order_of_the_index() -> None:
    index = index_of(100)
    splits, leaks = split_index(index, NONE_NEAR, shares={"validation": 0.3, "test": 0.3})
    assert list(splits.columns) == ["sample_id", "split"]
    assert splits["sample_id"].tolist() == index["sample_id"].tolist()
    assert splits["split"].tolist() == assign_splits(index, validation=0.3, test=0.3).tolist()
    assert set(splits["split"]) == set(SPLITS)
    assert leaks.empty


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("label", [None, 0, 3])
def test_shares_are_met_in_expectation(seed: int, label: int | None) -> None:
    index = index_of(20_000)
    index = index if label is None else index[index["label"] == label]
    counts = Counter(split_of(index, seed=seed).values())
    for name, share in (("validation", 0.1), ("test", 0.2), ("train", 0.7)):
        assert binomtest(counts[name], len(index), share).pvalue > 1e-4


@given(st.integers(1, 60), st.integers(0, 60), SEEDS)
def test_adding_images_moves_none(before: int, added: int, seed: int) -> None:
    index = index_of(before + added)
    assert split_of(index.iloc[:before], seed=seed).items() <= split_of(index, seed=seed).items()


@given(st.permutations(range(30)), SEEDS)
def test_the_order_of_images_does_not_matter(order: list[int], seed: int) -> None:
    index = index_of(30)
    assert split_of(index.iloc[order], seed=seed) == split_of(index, seed=seed)


@given(SHARES, SEEDS)
def test_equal_images_share_a_split_whatever_their_labels(shares: tuple[float, float], seed: int) -> None:
    index = index_of(40)
    twins = index.assign(sample_id="twin" + index["sample_id"], label=index["label"].iloc[::-1].to_numpy())
    both = pd.concat([index, twins], ignore_index=True)
    splits = split_of(both, *shares, seed)
    assert all(splits[name] == splits[f"twin{name}"] for name in index["sample_id"])
    _, leaks = split_index(both, NONE_NEAR, shares={"validation": shares[0], "test": shares[1], "seed": seed})
    assert leaks.empty


def test_the_name_of_an_image_does_not_decide_its_split() -> None:
    index = index_of(200)
    renamed = index.assign(sample_id=index["sample_id"].iloc[::-1].to_numpy())
    assert list(split_of(renamed).values()) == list(split_of(index).values())


def test_another_seed_gives_another_split() -> None:
    index = index_of(200)
    assert split_of(index, seed=0) != split_of(index, seed=1)
    assert split_of(index, seed=1) == split_of(index, seed=1)
    assert split_of(index) == split_of(index, seed=0)


@given(SHARES, st.floats(0.01, 0.49), SEEDS)
def test_a_larger_validation_share_takes_from_training_only(
    shares: tuple[float, float], other: float, seed: int
) -> None:
    index = index_of(60)
    less, more = sorted([shares[0], other])
    small, large = split_of(index, less, shares[1], seed), split_of(index, more, shares[1], seed)
    moved = {(small[name], large[name]) for name in small if small[name] != large[name]}
    assert moved <= {("train", "validation")}


# -- published splits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "shares"),
    [
        (["train", "test"], {"validation": 0.3}),
        (["", "test"], {"validation": 0.3}),
        (["train", "validation"], {"test": 0.3}),
        (["train", "validation", "test"], {}),
        (["", "train", "validation", "test"], {}),
    ],
)
def test_published_test_and_validation_splits_stay(published: list[str], shares: dict[str, float]) -> None:
    index = index_of(600, published=published)
    found = assign_splits(index, **shares)
    for row, name in enumerate(index["split"]):
        allowed = {name} if name in ("validation", "test") else {"train", *shares}
        assert found[row] in allowed
    for name, share in shares.items():
        free = index["split"].isin(["", "train"]).to_numpy()
        assert binomtest(int((found[free] == name).sum()), int(free.sum()), share).pvalue > 1e-4


def test_what_a_source_publishes_does_not_change_where_a_hash_places_the_others() -> None:
    free = index_of(400)
    partly = free.assign(split=np.where(np.arange(400) % 2, "test", "train"))
    made, kept = split_of(free, 0.3, 1e-9), split_of(partly, 0.3, None)
    assert {name: split for name, split in kept.items() if split != "test"}.items() <= made.items()


@pytest.mark.parametrize(
    ("published", "shares", "text"),
    [
        (
            ["", "train"],
            {"validation": 0.1},
            "the source publishes no test split; give split.test a share, such as 0.1",
        ),
        (
            ["train", "test"],
            {},
            "the source publishes no validation split; give split.validation a share, such as 0.1",
        ),
        (
            ["train", "test"],
            {"validation": 0.1, "test": 0.1},
            "the source publishes its test split; leave split.test out",
        ),
        (
            ["train", "validation", "test"],
            {"validation": 0.1},
            "the source publishes its validation split; leave split.validation out",
        ),
    ],
)
def test_a_share_is_given_for_the_splits_that_are_not_published_alone(
    published: list[str], shares: dict[str, float], text: str
) -> None:
    with pytest.raises(UserError) as error:
        split_index(index_of(12, published=published), NONE_NEAR, shares=shares)
    assert str(error.value) == text


# -- leaks ---------------------------------------------------------------------------------------------------------------

FAR, A, B, C = "ffffffff00000000", "0000000000000000", "000000000000000f", "00000000000000ff"


def settle(
    *rows: tuple[str, str, str, str], leakage: str = "report"
) -> tuple[list[str], dict[str, tuple[str, str, str]]]:
    """The splits, and (copy, kind, action) of each leak, of images (sha1, phash, published, split) named by number."""
    index = pd.DataFrame(rows, columns=["sha1", "phash", "split", "now"], dtype="str")
    index["sample_id"] = [str(row) for row in range(len(rows))]
    split, leaks = settle_leaks(index, index["now"].to_numpy(str), near_hashes(index["phash"]), leakage)
    return split.tolist(), {leak.sample_id: (leak.copy, leak.kind, leak.action) for leak in leaks.itertuples()}


@pytest.mark.parametrize("leakage", ["report", "drop", "move"])
def test_training_images_that_the_published_test_split_holds_too_are_left_out(leakage: str) -> None:
    split, leaks = settle(
        ("x", A, "train", "train"),
        ("x", A, "test", "test"),
        ("y", FAR, "train", "train"),
        ("x", A, "train", "validation"),
        leakage=leakage,
    )
    assert split == ["", "test", "train", ""]
    assert leaks == {"0": ("1", "exact", "left out"), "3": ("1", "exact", "left out")}


NEAR = [("x", A, "", "train"), ("y", B, "", "test"), ("z", FAR, "", "validation")]


@pytest.mark.parametrize(
    ("leakage", "split", "action"),
    [("report", "train", "reported"), ("drop", "", "left out"), ("move", "test", "moved")],
)
def test_near_copies_are_reported_or_dropped_or_moved(leakage: str, split: str, action: str) -> None:
    assert settle(*NEAR, leakage=leakage) == ([split, "test", "validation"], {"0": ("1", "near", action)})


def test_a_move_takes_all_copies_along() -> None:
    rows = [("x", A, "", "train"), ("x", A, "", "train"), ("y", B, "", "validation"), ("z", C, "", "test")]
    split, leaks = settle(*rows, leakage="move")
    assert split == ["test"] * 4
    assert set(leaks.values()) == {("3", "chain", "moved"), ("3", "near", "moved")}


@pytest.mark.parametrize("held", ["validation", "test"])
def test_nothing_moves_into_a_published_split(held: str) -> None:
    rows = [("x", A, "train", "train"), ("y", B, held, held), ("z", FAR, "train", "train")]
    assert settle(*rows, leakage="move") == (["", held, "train"], {"0": ("1", "near", "left out")})


def test_an_exact_copy_of_a_published_image_is_left_out_and_does_not_move() -> None:
    rows = [("x", A, "validation", "validation"), ("x", A, "", "test")]
    assert settle(*rows, leakage="move") == (["", "test"], {"0": ("1", "exact", "left out")})


def test_a_move_is_into_the_splits_that_were_made_beside_a_published_one() -> None:
    rows = [
        ("x", A, "train", "train"),
        ("y", B, "train", "validation"),
        ("z", FAR, "test", "test"),
        ("w", "fff0000000000000", "train", "train"),
    ]
    split, leaks = settle(*rows, leakage="move")
    assert split == ["validation", "validation", "test", "train"]
    assert leaks == {"0": ("1", "near", "moved")}


@pytest.mark.parametrize("leakage", ["report", "drop", "move"])
def test_without_copies_nothing_changes(leakage: str) -> None:
    index = index_of(50)
    shares = {"validation": 0.3, "test": 0.3}
    splits, leaks = split_index(index, NONE_NEAR, shares=shares, leakage=leakage)
    assert splits["split"].tolist() == assign_splits(index, **shares).tolist()
    assert list(leaks.columns) == ["sample_id", "split", "copy", "copy_split", "kind", "action"]
    assert leaks.empty


IMAGE = st.tuples(st.integers(0, 12), st.sampled_from([A, B, C, FAR]), st.sampled_from(["train", "test"]))


@given(st.lists(IMAGE, min_size=1, max_size=25), st.sampled_from(["", "published"]), SEEDS)
def test_once_copies_are_dropped_or_moved_no_copy_is_in_two_splits(
    images: list[tuple[int, str, str]], published: str, seed: int
) -> None:
    phash = {number: phash for number, phash, _ in images}
    index = pd.DataFrame(
        {
            "sample_id": [str(row) for row in range(len(images))],
            "label": 0,
            "class_name": "a",
            "split": pd.Series([split if published else "" for _, _, split in images], dtype="str"),
            "sha1": [f"{number:040x}" for number, _, _ in images],
            "phash": [phash[number] for number, _, _ in images],
        }
    )
    near = near_hashes(index["phash"])
    pairs = {frozenset(pair) for pair in near.itertuples(index=False, name=None)}
    test = None if "test" in set(index["split"]) else 0.3
    for leakage in ("report", "drop", "move"):
        splits, _ = split_index(index, near, shares={"validation": 0.3, "test": test, "seed": seed}, leakage=leakage)
        kept = index.drop(columns="split").merge(splits, on="sample_id")
        rows = list(kept.itertuples(index=False))
        for row in rows:
            for other in rows:
                alike = row.sha1 == other.sha1
                if leakage != "report":
                    alike |= row.phash == other.phash or frozenset((row.phash, other.phash)) in pairs
                assert row.split == other.split or not alike
        if test is None:
            held_out = kept[kept["split"] == "test"]["sample_id"].tolist()
            assert held_out == index[index["split"] == "test"]["sample_id"].tolist()


# -- subsets -------------------------------------------------------------------------------------------------------------


def kept(index: pd.DataFrame, split: np.ndarray, **how: Any) -> set[str]:
    thinned = thin_out(index, split, **how)
    assert set(zip(thinned, split, strict=True)) <= {(name, name) for name in split} | {("", name) for name in split}
    return {*index["sample_id"][thinned != ""]}


def counts_of(index: pd.DataFrame, split: np.ndarray, chosen: set[str]) -> dict[tuple[str, int], int]:
    """Images that are left, by split and label."""
    rows = zip(index["sample_id"], split.tolist(), index["label"], strict=True)
    return dict(Counter((name, label) for image, name, label in rows if image in chosen))


@pytest.fixture
def divided() -> tuple[pd.DataFrame, np.ndarray]:
    index = index_of(400)
    return index, assign_splits(index, validation=0.2, test=0.2)


def test_some_classes_of_a_data_set(divided: tuple[pd.DataFrame, np.ndarray]) -> None:
    index, split = divided
    shares = {"validation": 0.2, "test": 0.2}
    splits, _ = split_index(index, NONE_NEAR, shares=shares, subset={"classes": ["dog", "bee"]})
    chosen = index["label"].isin([1, 3]).to_numpy()
    assert splits["sample_id"].tolist() == index["sample_id"][chosen].tolist()
    assert splits["split"].tolist() == split[chosen].tolist()
    assert list(splits.index) == list(range(len(splits)))


@pytest.mark.parametrize(("classes", "count"), [(["ant", "bee"], 3), (["ant", "dog"], 4)])
def test_a_copy_in_a_class_that_a_study_leaves_out_does_not_matter(classes: list[str], count: int) -> None:
    index = index_of(8, published=["train", "test"])
    index.loc[0, "sha1"] = index.loc[1, "sha1"]  # an ant for training and a bee for testing
    splits, leaks = split_index(index, NONE_NEAR, shares={"validation": 1e-9}, subset={"classes": classes})
    assert (len(splits), len(leaks)) == (count, 4 - count)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dgo", "subset.classes: 'dgo' is not a class of this data set; did you mean 'dog'?"),
        ("xyz", "subset.classes: 'xyz' is not a class of this data set; allowed: ant, bee, cat, dog"),
    ],
)
def test_an_unknown_class_is_named_with_the_nearest(name: str, text: str) -> None:
    with pytest.raises(UserError) as error:
        of_classes(index_of(8), ["ant", name])
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [
        (0.1, 1, 1),
        (0.1, 10, 1),
        (0.1, 11, 2),
        (0.5, 7, 4),
        (1.0, 13, 13),
        (0.07, 100, 7),  # 0.07 * 100 is 7.000000000000001
        (0.55, 100, 55),
        (1 / 3, 3, 1),
        (2 / 3, 300, 200),
        (1e-6, 40, 1),
    ],
)
def test_a_fraction_of_each_class_is_rounded_up(fraction: float, count: int, expected: int) -> None:
    index = index_of(2 * count, classes=2)
    split = np.array(["train"] * 2 * count)
    chosen = kept(index, split, fraction=fraction)
    assert counts_of(index, split, chosen) == {("train", 0): expected, ("train", 1): expected}


def test_a_fraction_thins_the_training_split_alone(divided: tuple[pd.DataFrame, np.ndarray]) -> None:
    index, split = divided
    everything = {*index["sample_id"]}
    all_counts = counts_of(index, split, everything)
    counts = counts_of(index, split, kept(index, split, fraction=0.3))
    for (name, label), count in all_counts.items():
        assert counts[name, label] == (math.ceil(0.3 * count) if name == "train" else count)


def test_at_most_so_many_of_a_class_stay_in_each_split(divided: tuple[pd.DataFrame, np.ndarray]) -> None:
    index, split = divided
    all_counts = counts_of(index, split, {*index["sample_id"]})
    most = {"train": 5, "test": 1000}
    counts = counts_of(index, split, kept(index, split, per_class=most))
    assert counts == {(name, label): min(count, most.get(name, count)) for (name, label), count in all_counts.items()}
    assert {count for (name, _), count in counts.items() if name == "train"} == {5}


def test_the_fraction_and_the_number_of_a_class_hold_both(divided: tuple[pd.DataFrame, np.ndarray]) -> None:
    index, split = divided
    counts = counts_of(index, split, kept(index, split, fraction=0.1, per_class={"test": 3, "validation": 2}))
    for label in range(4):
        assert counts["test", label] == 3
        assert counts["validation", label] == 2
        assert counts["train", label] == math.ceil(0.1 * ((index["label"] == label) & (split == "train")).sum())


@given(
    st.lists(st.floats(0.001, 1), min_size=2, max_size=2), st.lists(st.integers(1, 9), min_size=2, max_size=2), SEEDS
)
def test_what_a_smaller_subset_keeps_a_larger_one_keeps_too(
    fractions: list[float], numbers: list[int], seed: int
) -> None:
    index = index_of(60)
    split = assign_splits(index, validation=0.2, test=0.3)
    small, large = (kept(index, split, fraction=fraction, seed=seed) for fraction in sorted(fractions))
    assert small <= large
    for name in SPLITS:
        few, more = (kept(index, split, per_class={name: number}, seed=seed) for number in sorted(numbers))
        assert few <= more


@given(st.permutations(range(24)), SEEDS)
def test_a_subset_depends_neither_on_the_order_nor_on_the_names(order: list[int], seed: int) -> None:
    index = index_of(24, classes=2)
    split = assign_splits(index, validation=0.2, test=0.3)
    how: Mapping[str, Any] = {"fraction": 0.4, "per_class": {"test": 2}, "seed": seed}
    shuffled = index.iloc[order].reset_index(drop=True)
    chosen = kept(index, split, **how)
    assert kept(shuffled, split[order], **how) == chosen
    renamed = index.assign(sample_id="x" + index["sample_id"])
    assert kept(renamed, split, **how) == {f"x{name}" for name in chosen}


def test_the_seed_of_a_subset_decides_which_images_stay(divided: tuple[pd.DataFrame, np.ndarray]) -> None:
    index, split = divided
    zero, one, again = (kept(index, split, fraction=0.5, seed=seed) for seed in (0, 1, 1))
    assert zero != one
    assert one == again
    assert len(zero) == len(one)


def test_a_subset_is_not_the_end_of_what_the_split_drew() -> None:
    # Were the same numbers used for both, a subset of the training split would hold those nearest to validation.
    index = index_of(4000, classes=1)
    split = assign_splits(index, validation=0.2, test=0.2)
    chosen = kept(index, split, fraction=0.5)
    larger = assign_splits(index, validation=0.5, test=0.2)  # which takes half of the training split
    taken = {*index["sample_id"][(split == "train") & (larger == "validation")]}
    training = int((split == "train").sum())
    both = len(taken & chosen)
    assert binomtest(both, len(taken), 0.5).pvalue > 1e-4
    assert abs(len(taken) - training / 2) < 0.1 * training


def test_a_subset_is_drawn_from_what_copies_leave() -> None:
    index = index_of(40, classes=1, published=["train", "test"])
    copied = index["sha1"].to_numpy(copy=True)
    copied[0:20:2] = copied[1:21:2]  # half of the training images are in the test split too
    index = index.assign(
        sha1=pd.Series(copied, dtype="str"), phash=pd.Series([text[:16] for text in copied], dtype="str")
    )
    shares, subset = {"validation": 1e-9}, {"fraction": 0.5}
    splits, leaks = split_index(index, NONE_NEAR, shares=shares, subset=subset)
    assert len(leaks) == 10
    assert list(splits.index) == list(range(25))
    assert Counter(splits["split"]) == {"train": 5, "test": 20}
    assert not {*splits["sample_id"]} & {*leaks["sample_id"]}


@pytest.mark.parametrize("subset", [None, {"fraction": 0.5}, {"per_class": {"train": 1}}])
@pytest.mark.parametrize("leakage", ["report", "drop", "move"])
def test_no_image_is_no_split(leakage: str, subset: dict[str, Any] | None) -> None:
    shares = {"validation": 0.1, "test": 0.2}
    splits, leaks = split_index(index_of(0), NONE_NEAR, shares=shares, leakage=leakage, subset=subset)
    assert splits.empty and leaks.empty
    assert split_warnings(index_of(0), splits) == []


# -- warnings ------------------------------------------------------------------------------------------------------------


def warnings_of(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """From the number of images of each class in each split."""
    rows = [(name, split) for name, splits in counts.items() for split, n in splits.items() for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["class_name", "split"], dtype="str")
    frame["sample_id"] = [str(row) for row in range(len(frame))]
    published = frame.assign(split="train")  # which does not matter
    used = frame[frame["split"] != ""][["sample_id", "split"]]
    return split_warnings(published, used)


EVERYWHERE = {"train": 2, "validation": 1, "test": 1}


def test_classes_that_are_in_every_split_need_no_warning() -> None:
    assert warnings_of({"ant": EVERYWHERE, "bee": EVERYWHERE}) == []


def test_each_split_without_images_of_a_class_is_one_line() -> None:
    counts = {
        "cat": {"train": 1, "test": 1},
        "ant": {"train": 3},
        "bee": EVERYWHERE,
        "dog": {"validation": 1, "test": 1},
    }
    assert warnings_of(counts) == [
        "no image in the train split: dog",
        "no image in the validation split: ant, cat",
        "no image in the test split: ant",
    ]


def test_a_class_that_a_study_leaves_out_is_not_missed() -> None:
    assert warnings_of({"ant": EVERYWHERE, "bee": {"": 4}}) == []


def test_many_classes_are_counted_and_long_names_are_cut() -> None:
    long = "the name of a class\nthat goes on and on and on and on"
    counts = {"ant": EVERYWHERE} | {name: {"train": 1, "test": 1} for name in ("b", "c", "d", "e", "f", "g", long)}
    assert warnings_of(counts) == ["no image in the validation split: b, c, d, e, f and 2 more"]
    (line,) = warnings_of({"ant": EVERYWHERE, long: {"train": 1, "test": 1}, "x" * 100: EVERYWHERE})
    assert line == "no image in the validation split: the name of a class that goes on and on…"
    assert len(warnings_of({"ant": EVERYWHERE, "x" * 100: {"train": 1, "test": 1}})[0]) < 80


def test_a_split_without_any_image_names_its_classes() -> None:
    assert warnings_of({"ant": {"train": 1, "validation": 1}, "bee": {"train": 1, "validation": 1}}) == [
        "no image in the test split: ant, bee"
    ]


def test_leaks_of_images_that_a_subset_leaves_out_are_not_listed() -> None:
    index = pd.DataFrame(
        {
            "sample_id": [f"id{k}" for k in range(40)],
            "label": [0] * 40,
            "class_name": ["ant"] * 40,
            "split": ["train"] * 20 + ["test"] * 20,
            "sha1": [f"{k:040x}" for k in range(40)],
            "phash": [f"{k % 20:016x}" for k in range(40)],  # each training image has the hash of a test image
        }
    )
    near = pd.DataFrame({"phash": [], "other": []}, dtype="str")
    _, everything = split_index(index, near, shares={"validation": 0.01})
    splits, few = split_index(index, near, shares={"validation": 0.01}, subset={"per_class": {"train": 3, "test": 3}})
    assert len(everything) == 20
    assert len(few) < 4 and set(few["sample_id"]) | set(few["copy"]) <= set(splits["sample_id"])


# -- folds ---------------------------------------------------------------------------------------------------------------


@given(count=st.integers(30, 90), classes=st.integers(2, 6), folds=st.integers(2, 7))
def test_folds_part_all_but_the_test_images_evenly_in_each_class(count: int, classes: int, folds: int) -> None:
    index = index_of(count, classes)
    splits, _ = split_index(index, NONE_NEAR, shares={"validation": 0.1, "test": 0.2})
    parts = [fold_splits(index, splits, folds, fold) for fold in range(folds)]
    for part in parts:
        assert (part["sample_id"] == splits["sample_id"]).all()
        assert ((part["split"] == "test") == (splits["split"] == "test")).all()
    held_out = np.array([(part["split"] == "validation").to_numpy() for part in parts])
    assert (held_out.sum(axis=0) == (splits["split"] != "test")).all()  # each in one of them
    label = splits.merge(index, on="sample_id")["label"].to_numpy()
    for each in range(classes):
        sizes = held_out[:, label == each].sum(axis=1)
        assert sizes.max() - sizes.min() <= 1


def test_equal_images_of_a_class_share_a_fold() -> None:
    index = index_of(40, 2)
    index.loc[2, "sha1"] = index.loc[4, "sha1"] = index.loc[0, "sha1"]
    splits = pd.DataFrame({"sample_id": index["sample_id"], "split": pd.Series(["train"] * 40, dtype="str")})
    for fold in range(5):
        assert fold_splits(index, splits, 5, fold)["split"][[0, 2, 4]].nunique() == 1


def test_more_folds_than_images_are_refused() -> None:
    index = index_of(12, 2)
    splits = pd.DataFrame(
        {"sample_id": index["sample_id"], "split": pd.Series(["train"] * 4 + ["test"] * 8, dtype="str")}
    )
    with pytest.raises(UserError, match="folds: 5 is more than the 4 images"):
        fold_splits(index, splits, 5, 0)
