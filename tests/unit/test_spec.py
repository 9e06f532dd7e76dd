from copy import deepcopy
from graphlib import CycleError
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.spec import (
    chosen_spec,
    get_path,
    holds,
    in_order,
    path_of,
    path_parts,
    same,
    set_path,
    set_paths,
    without_paths,
)

KEYS = st.sampled_from(["train", "optimizer", "name", "head"])
VALUES = st.none() | st.integers() | st.text(max_size=3)
SPECS = st.dictionaries(KEYS, st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=3)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("train", ("train",)),
        ("train.optimizer.name", ("train", "optimizer", "name")),
        ("head.dense[0]", ("head", "dense", 0)),
        ("a[1][20].b", ("a", 1, 20, "b")),
        ("a[x].b[-1]", ("a[x]", "b[-1]")),
        ("a[0]b", ("a[0]b",)),
    ],
)
def test_a_path_is_keys_and_positions(path: str, parts: tuple[str | int, ...]) -> None:
    assert path_parts(path) == parts
    assert path_of(parts) == path


def test_a_field_is_set_and_its_neighbours_stay() -> None:
    spec = {"train": {"optimizer": {"name": "adam"}, "epochs": 3}}
    assert set_path(spec, "train.optimizer.name", "sgd") == {"train": {"optimizer": {"name": "sgd"}, "epochs": 3}}


def test_sections_on_the_way_are_made() -> None:
    assert set_path({"a": 1}, "train.early_stopping.patience", 2) == {
        "a": 1,
        "train": {"early_stopping": {"patience": 2}},
    }


def test_a_value_on_the_way_makes_room() -> None:
    assert set_path({"train": 1}, "train.epochs", 2) == {"train": {"epochs": 2}}


def test_several_fields_are_set() -> None:
    assert set_paths({"a": {"b": 1}}, {"a.b": 2, "a.c": 3}) == {"a": {"b": 2, "c": 3}}
    assert set_paths({"a": 1}, {}) == {"a": 1}


def test_what_is_not_there_reads_as_nothing() -> None:
    assert get_path({"train": {"epochs": 3}}, "train.epochs.more") is None
    assert get_path({}, "train") is None


@given(spec=SPECS, path=PATHS, value=VALUES)
def test_a_field_reads_as_it_was_set(spec: dict[str, Any], path: str, value: Any) -> None:
    assert get_path(set_path(spec, path, value), path) == value


@given(spec=SPECS, path=PATHS, value=VALUES)
def test_the_original_stays(spec: dict[str, Any], path: str, value: Any) -> None:
    before = deepcopy(spec)
    set_paths(spec, {path: value})
    assert spec == before


@given(spec=SPECS, path=PATHS, value=VALUES)
def test_setting_twice_is_setting_once(spec: dict[str, Any], path: str, value: Any) -> None:
    once = set_path(spec, path, value)
    assert set_path(once, path, value) == once


# -- positions in lists --------------------------------------------------------------------------------------------------

LISTED = {"head": {"dense": [64, 32], "blocks": [{"filters": [1, 2]}]}}


def test_an_entry_of_a_list_is_read_and_set() -> None:
    assert get_path(LISTED, "head.dense[1]") == 32
    assert get_path(LISTED, "head.blocks[0].filters[1]") == 2
    assert set_path(LISTED, "head.dense[1]", 8)["head"]["dense"] == [64, 8]
    changed = set_path(LISTED, "head.blocks[0].filters[0]", 7)
    assert changed["head"]["blocks"] == [{"filters": [7, 2]}]
    assert LISTED["head"]["blocks"] == [{"filters": [1, 2]}]


@pytest.mark.parametrize(
    "path", ["head.dense[2]", "head[0]", "head.dense.units", "absent[0]", "head.blocks[1].filters"]
)
def test_what_no_list_has_reads_as_nothing(path: str) -> None:
    assert get_path(LISTED, path) is None


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("head.dense[2]", IndexError),
        ("head.blocks[1].filters", IndexError),
        ("head[0]", KeyError),
        ("absent[0]", KeyError),
        ("head.absent[0].filters", KeyError),
    ],
)
def test_lists_are_not_made_and_keep_their_length(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        set_path(LISTED, path, 1)


def test_what_is_set_is_a_copy() -> None:
    widths = [8]
    assert set_paths({}, {"a": widths, "a[0]": 9}) == {"a": [9]}
    assert widths == [8]


def test_fields_and_entries_are_left_out() -> None:
    assert without_paths({"a": {"b": 1, "c": 2}}, ["a.b", "a.x", "x.y"]) == {"a": {"c": 2}}
    for paths in permutations(["a[0]", "a[2]", "a[9]"]):
        assert without_paths({"a": [1, 2, 3]}, paths) == {"a": [2]}


# -- trials --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "are"),
    [(1, 1.0, True), (1, True, False), (0, False, False), ("a", "a", True), ([1], [1], True), (None, 0, False)],
)
def test_true_is_not_one(one: Any, other: Any, are: bool) -> None:
    assert same(one, other) is are


def test_a_parameter_exists_where_all_its_conditions_hold() -> None:
    dimension = {"when": {"a": ["x", "y"], "b": [1]}}
    assert holds(dimension, {"a": "y", "b": 1})
    assert not holds(dimension, {"a": "z", "b": 1})
    assert not holds(dimension, {"a": "x"})
    assert holds({}, {})


def test_conditions_come_before_what_depends_on_them() -> None:
    space: dict[str, Any] = {"a": {"when": {"b": [1]}}, "b": {"when": {"c": [1]}}, "c": {}, "d": {}}
    for paths in permutations(space):
        order = in_order({path: space[path] for path in paths})
        assert sorted(order) == sorted(space)
        assert order.index("c") < order.index("b") < order.index("a")
    assert in_order({"c": {}, "a": {}, "b": {}}) == ["c", "a", "b"]
    with pytest.raises(CycleError):
        in_order({"a": {"when": {"b": [1]}}, "b": {"when": {"a": [1]}}})


SGD = {"train": {"optimizer": {"name": "sgd", "momentum": 0.5}, "ema": 0.9}}
CONDITIONAL = {
    "train.optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"train.optimizer.name": ["sgd"]}},
    "train.optimizer.name": {"choices": ["adam", "sgd"]},
    "train.ema": {"choices": [None, 0.99]},
}


@pytest.mark.parametrize(
    ("values", "train"),
    [
        (
            {"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.1, "train.ema": 0.99},
            {"optimizer": {"name": "sgd", "momentum": 0.1}, "ema": 0.99},
        ),
        ({"train.optimizer.name": "adam", "train.ema": None}, {"optimizer": {"name": "adam"}}),
    ],
    ids=["condition that holds", "condition that does not, and null"],
)
def test_a_trial_is_the_model_with_its_values_and_nothing_that_is_for_others(
    values: dict[str, Any], train: dict[str, Any]
) -> None:
    for order in permutations(values.items()):
        assert chosen_spec(SGD, CONDITIONAL, dict(order)) == {"train": train}
    assert SGD["train"]["ema"] == 0.9


def test_a_field_may_have_another_value_where_its_condition_does_not_hold() -> None:
    space = CONDITIONAL | {
        "dropout": {"low": 0.1, "high": 0.5, "when": {"train.optimizer.name": ["sgd"]}, "otherwise": 0.0}
    }
    values = {"train.optimizer.name": "adam", "train.ema": 0.99}
    assert chosen_spec(SGD | {"dropout": 0.3}, space, values)["dropout"] == 0.0


def test_null_takes_entries_out_of_a_list() -> None:
    space = {"dense[0]": {"choices": [None, 8]}, "dense[1]": {"choices": [None, 9]}, "dense[2]": {"choices": [None, 7]}}
    values = {"dense[0]": None, "dense[1]": 9, "dense[2]": None}
    assert chosen_spec({"dense": [1, 2, 3, 4]}, space, values) == {"dense": [9, 4]}
