"""Models that say ``extends:`` another one, and only what differs."""

from collections.abc import Iterator, Mapping
from typing import Any

from graft.words import nearest

KEY = "extends"


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``: mappings are merged key by key, anything else takes the place of what was there.

    A mapping with a ``name`` of its own, such as an optimizer, is not merged, for its options belong to that name; null
    takes a key away.
    """
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping) and "name" not in value:
            merged[key] = merge(before, value)
        else:
            merged[key] = value
    return merged


def _chain(name: str, models: Mapping[str, Any]) -> Iterator[str]:
    """The models that one extends, nearest first; raises ValueError with what is wrong."""
    seen = [name]
    while KEY in models[seen[-1]]:
        base = models[seen[-1]][KEY]
        others = [other for other, model in models.items() if other != seen[-1] and isinstance(model, Mapping)]
        if base not in others:
            raise ValueError(f"{base!r} is not another model of this study{nearest(base, others)}")
        if base in seen:
            raise ValueError(f"{' extends '.join([*seen, base])}; a model cannot extend itself")
        seen.append(base)
        yield base


def resolve(models: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Every model spelt out, and a line for each that cannot be."""
    whole: dict[str, Any] = {}
    problems = []
    for name, model in models.items():
        whole[name] = model
        if not isinstance(model, Mapping) or KEY not in model:
            continue
        try:
            chain = [name, *_chain(name, models)]
        except ValueError as error:
            problems.append(f"models.{name}.{KEY}: {error}")
            continue
        spelt: dict[str, Any] = {}
        for other in reversed(chain):
            spelt = merge(spelt, {key: value for key, value in models[other].items() if key != KEY})
        whole[name] = spelt
    return whole, problems
