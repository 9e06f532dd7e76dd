"""Where bytes come from: one file per source of images, and readers for files that others made."""

from collections.abc import Mapping
from typing import Any

from graft.registry import parts
from graft.sources.base import Source


def open_source(described: Mapping[str, Any]) -> Source:
    """The source that a study describes by its name and options."""
    options = {key: value for key, value in described.items() if key != "name"}
    source: Source = parts(__name__)[described["name"]].function(**options)
    return source
