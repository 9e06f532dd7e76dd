from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graft.spec import get_path, set_path, set_paths

KEYS = st.sampled_from(["train", "optimizer", "name", "head"])
VALUES = st.none() | st.integers() | st.text(max_size=3)
SPECS = st.dictionaries(KEYS, st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=3)), max_size=3)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(".".join)


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
