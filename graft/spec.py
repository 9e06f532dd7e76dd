"""The nested plain values that describe a study: dotted paths into them, and their text."""

from collections.abc import Mapping
from copy import deepcopy
from io import StringIO
from typing import Any

from ruamel.yaml import YAML


def get_path(spec: Mapping[str, Any], path: str) -> Any:
    """The value of the field at ``path``, or ``None`` where nothing is set."""
    place: Any = spec
    for key in path.split("."):
        place = place.get(key) if isinstance(place, Mapping) else None
    return place


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


def to_yaml(spec: Mapping[str, Any]) -> str:
    """Plain values as YAML, in the order that they have."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel.yaml declares it None
    text = StringIO()
    yaml.dump(spec, text)
    return text.getvalue()
