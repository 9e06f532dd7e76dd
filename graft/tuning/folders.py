"""Where each trial of a search keeps what it makes: below ``state``, which holds the searches of a model by their names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.checkpoints import Checkpoints


def trial_folder(state: str | Path, name: str, number: int) -> Path:
    """Where a trial of the search ``name`` has its checkpoints and predictions."""
    return Path(state) / name / f"trial{number}"


def trial_checkpoints(state: str | Path, name: str, number: int, spec: Mapping[str, Any]) -> Checkpoints:
    """The checkpoints of a trial of the search ``name``, whose network and training are ``spec``."""
    from graft.runs import checkpoint_key

    minutes = spec["train"].get("checkpoint_minutes", 10)
    return Checkpoints(trial_folder(state, name, number) / "state", checkpoint_key(spec, name), minutes)
