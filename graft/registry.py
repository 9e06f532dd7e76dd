"""Parts that a study chooses by name: each is a function in a file of a package that is searched.

A new architecture, ensemble method or source is one new file; nothing else is edited. Its options are the
keyword-only parameters of the function, with their types and defaults.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_PARTS: dict[str, dict[str, "Part"]] = {}


@dataclass(frozen=True)
class Part:
    """One registered function: its name in a study, the module that defines it, and facts about it."""

    name: str
    module: str
    function: Callable[..., Any]
    facts: Mapping[str, Any] = field(default_factory=dict)


def part(name: str, **facts: Any) -> Callable[[F], F]:
    """Register the decorated function under ``name`` in the package of its module."""

    def register(function: F) -> F:
        package = function.__module__.rpartition(".")[0]
        known = _PARTS.setdefault(package, {})
        if name in known and known[name].module != function.__module__:
            raise ValueError(f"{name!r} is defined in {known[name].module} and in {function.__module__}")
        known[name] = Part(name, function.__module__, function, facts)
        return function

    return register


@cache
def parts(package: str) -> Mapping[str, Part]:
    """Every part in ``package``, by name and in alphabetical order; imports each of its modules once."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    return dict(sorted(_PARTS.get(package, {}).items()))
