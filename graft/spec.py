"""Dotted paths into the nested plain values that describe a model."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def set_path(spec: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of ``spec`` in which the field at ``path``, such as ``train.optimizer.name``, has ``value``."""
    result = deepcopy(dict(spec))
    *parents, last = path.split(".")
    place = result
    for key in parents:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    place[last] = value
    return result


def set_paths(spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``spec`` with several fields set, as :func:`set_path` sets one."""
    result = dict(spec)
    for path, value in values.items():
        result = set_path(result, path, value)
    return result
