import hashlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from graft.splits import SPLITS, split_index


def index_of(count: int, classes: int = 10) -> pd.DataFrame:
    """An index of ``count`` different images."""
    names = [f"{k:06}" for k in range(count)]
    return pd.DataFrame(
        {
            "sample_id": [f"id{name}" for name in names],
            "label": [k % classes for k in range(count)],
            "sha1": [hashlib.sha1(name.encode()).hexdigest() for name in names],
        }
    )


def split_of(index: pd.DataFrame, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> dict[str, str]:
    table = split_index(index, validation=validation, test=test, seed=seed)
    return dict(zip(table["sample_id"], table["split"], strict=True))


SHARES = st.tuples(st.floats(0.01, 0.49), st.floats(0.01, 0.49))
SEEDS = st.integers(0, 2**31 - 1)


def test_every_image_is_in_one_split_in_the_order_of_the_index() -> None:
    index = index_of(100)
    table = split_index(index, validation=0.3, test=0.3, seed=0)
    assert list(table.columns) == ["sample_id", "split"]
    assert table["sample_id"].tolist() == index["sample_id"].tolist()
    assert set(table["split"]) == set(SPLITS)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("label", [None, 0, 9])
def test_shares_are_met_in_expectation(seed: int, label: int | None) -> None:
    index = index_of(20_000)
    index = index if label is None else index[index["label"] == label]
    counts = pd.Series(split_of(index, 0.1, 0.2, seed)).value_counts()
    for name, share in (("validation", 0.1), ("test", 0.2), ("train", 0.7)):
        assert binomtest(int(counts[name]), len(index), share).pvalue > 1e-4


@given(st.integers(1, 60), st.integers(0, 60), SEEDS)
def test_adding_images_moves_none(before: int, added: int, seed: int) -> None:
    index = index_of(before + added)
    small, large = split_of(index.iloc[:before], seed=seed), split_of(index, seed=seed)
    assert small.items() <= large.items()


@given(st.permutations(range(30)), SEEDS)
def test_the_order_of_images_does_not_matter(order: list[int], seed: int) -> None:
    index = index_of(30)
    assert split_of(index.iloc[order], seed=seed) == split_of(index, seed=seed)


@given(SHARES, SEEDS)
def test_equal_images_of_a_class_share_a_split(shares: tuple[float, float], seed: int) -> None:
    index = index_of(40)
    twins = index.assign(sample_id=[f"twin{name}" for name in index["sample_id"]])
    splits = split_of(pd.concat([index, twins], ignore_index=True), *shares, seed)
    assert all(splits[name] == splits[f"twin{name}"] for name in index["sample_id"])


def test_the_name_of_an_image_does_not_decide_its_split() -> None:
    index = index_of(200)
    renamed = index.assign(sample_id=index["sample_id"].iloc[::-1].to_numpy())
    assert list(split_of(renamed).values()) == list(split_of(index).values())


def test_another_seed_gives_another_split() -> None:
    index = index_of(200)
    assert split_of(index, seed=0) != split_of(index, seed=1)
    assert split_of(index, seed=1) == split_of(index, seed=1)


@given(SHARES, st.floats(0.01, 0.49), SEEDS)
def test_a_larger_validation_share_takes_from_training_only(
    shares: tuple[float, float], other: float, seed: int
) -> None:
    index = index_of(60)
    less, more = sorted([shares[0], other])
    small, large = split_of(index, less, shares[1], seed), split_of(index, more, shares[1], seed)
    moved = {(small[name], large[name]) for name in small if small[name] != large[name]}
    assert moved <= {("train", "validation")}


def test_no_image_is_no_split() -> None:
    assert split_of(index_of(0)) == {}
