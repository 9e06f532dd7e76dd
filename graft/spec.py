"""The nested plain values that describe a study: paths into them, what a trial of a search makes of them, their text."""

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from graphlib import TopologicalSorter
from io import StringIO
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML

# -- paths ---------------------------------------------------------------------------------------------------------------


@lru_cache
def path_parts(path: str) -> tuple[str | int, ...]:
    """The keys of a path, and its positions in lists, from 0: ``head.dense[0]`` is ``("head", "dense", 0)``."""
    parts: list[str | int] = []
    for text in path.split("."):
        key, *positions = re.split(r"\[([0-9]{1,9})\](?=\[|$)", text)
        parts += [key, *(int(position) for position in positions if position)]
    return tuple(parts)


def path_of(parts: Iterable[str | int]) -> str:
    """The path that :func:`path_parts` takes apart."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _follow(place: Any, parts: Iterable[str | int]) -> Any:
    for part in parts:
        if isinstance(part, int):
            place = place[part] if isinstance(place, list) and part < len(place) else None
        else:
            place = place.get(part) if isinstance(place, Mapping) else None
    return place


def get_path(spec: Mapping[str, Any], path: str) -> Any:
    """The value of the field at ``path``, or ``None`` where nothing is set."""
    return _follow(spec, path_parts(path))


def _set(place: Any, path: str, value: Any) -> None:
    parts = path_parts(path)
    for part, following in pairwise(parts):
        inner = place.get(part) if isinstance(place, dict) else place[part]
        if isinstance(following, int) and not isinstance(inner, list):
            raise KeyError(path)
        if isinstance(following, str) and not isinstance(inner, dict):
            inner = place[part] = {}
        place = inner
    place[parts[-1]] = deepcopy(value)


def _remove(place: Any, path: str) -> None:
    *parents, last = path_parts(path)
    place = _follow(place, parents)
    if isinstance(place, dict):
        place.pop(last, None)
    elif isinstance(place, list) and isinstance(last, int):
        del place[last : last + 1]


def set_path(spec: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of ``spec`` in which the field at ``path``, such as ``train.optimizer.name``, has ``value``.

    Sections on the way are made; lists are not, and keep their length.

    Raises:
        KeyError: the path has a position where no list stands.
        IndexError: the list at a position is shorter.
    """
    return set_paths(spec, {path: value})


def set_paths(spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``spec`` with several fields set, as :func:`set_path` sets one."""
    result = deepcopy(dict(spec))
    for path, value in values.items():
        _set(result, path, value)
    return result


def without_paths(spec: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """A copy of ``spec`` without the fields and entries of lists at ``paths``, as the paths were before."""
    result = deepcopy(dict(spec))
    # From the end of a list, for each entry that goes moves those behind it.
    for path in sorted(
        paths, key=lambda path: [part for part in path_parts(path) if isinstance(part, int)], reverse=True
    ):
        _remove(result, path)
    return result


# -- trials --------------------------------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal; in Python alone, ``True`` is 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def as_scalar(value: Any) -> Any:
    """A choice as Optuna can store it: lists and mappings as compact JSON text, anything else as it is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, list | Mapping) else value


def holds(dimension: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a dimension's parameter exists in a trial with these values, as its ``when`` has it."""
    return all(
        path in values and any(same(values[path], value) for value in wanted)
        for path, wanted in dimension.get("when", {}).items()
    )


def in_order(space: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The paths of a space, those that a ``when`` names before those that have it.

    Raises:
        graphlib.CycleError: the conditions go round in a circle.
    """
    return list(TopologicalSorter({path: space[path].get("when", {}) for path in space}).static_order())


def chosen_spec(
    spec: Mapping[str, Any], space: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The model that a trial trains: ``spec`` with the trial's ``values`` by path, in whatever order.

    ``space`` is the plain dump of ``tune.space``. A value of ``None`` leaves its field out. So does a condition that does
    not hold: its parameter is not among the values, and its field is what the dimension has as ``otherwise``, or is left
    out, so that nothing of ``spec`` stays that would not go with the values.

    Raises:
        KeyError, IndexError: as :func:`set_path`.
    """
    every = {path: space[path].get("otherwise") for path in space if "when" in space[path]} | dict(values)
    result = set_paths(spec, {path: value for path, value in every.items() if value is not None})
    return without_paths(result, [path for path, value in every.items() if value is None])


# -- training ------------------------------------------------------------------------------------------------------------


ENDLESS = ("constant", "inverse_time")
"""Schedules that do not know when training ends."""


def can_be_extended(train: Mapping[str, Any]) -> bool:
    """Whether a training that has ended may go on for more epochs: its rate does not depend on their number."""
    return train["schedule"]["name"] in ENDLESS


# -- text ----------------------------------------------------------------------------------------------------------------


def to_yaml(spec: Mapping[str, Any]) -> str:
    """Plain values as YAML, in the order that they have."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel.yaml declares it None
    text = StringIO()
    yaml.dump(spec, text)
    return text.getvalue()
