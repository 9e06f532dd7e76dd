"""What a training needs to go on as if it had never stopped: its last two states, each a file that is whole or absent."""

import json
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.files import replacing

log = logging.getLogger(__name__)

KEPT = 2


class State(NamedTuple):
    """Where a training stands, in plain values, and the arrays of all that it changes."""

    place: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The states of one training in a folder; ``key`` stands for all that decides them, so that no other's are used."""

    def __init__(self, folder: str | Path, key: str, minutes: float = 10) -> None:
        self.folder, self.key, self.minutes = Path(folder), key, minutes
        self._saved, self._took = time.monotonic(), 0.0

    def _files(self) -> list[Path]:
        """From the oldest to the newest."""
        found = [path for path in self.folder.glob("*.npz") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    def due(self) -> bool:
        """Whether so many minutes have passed since the last one that it is time for another."""
        return time.monotonic() - self._saved > 60 * self.minutes

    def cheap(self) -> bool:
        """Whether another state now would leave at least nine tenths of the time to the training."""
        return time.monotonic() - self._saved > 9 * self._took

    def save(self, place: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Write a state; of those before it, one is kept."""
        start = time.monotonic()
        files = self._files()
        path = self.folder / f"{int(files[-1].stem) + 1 if files else 1}.npz"
        text = json.dumps({"key": self.key, "place": place})
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, allow_pickle=False, text=np.frombuffer(text.encode(), np.uint8), **arrays)
        for old in [*files, path][:-KEPT]:
            old.unlink(missing_ok=True)
        self._saved = time.monotonic()
        self._took = self._saved - start

    def load(self) -> State | None:
        """The newest state of this training that is whole."""
        for path in reversed(self._files()):
            try:
                with np.load(path, allow_pickle=False) as saved:
                    described = json.loads(saved["text"].tobytes())
                    if described["key"] != self.key:
                        log.info("%s is of another configuration, data or code and is not used", path)
                        continue
                    return State(described["place"], {name: saved[name] for name in saved.files if name != "text"})
            except Exception as error:  # whatever a damaged archive provokes, the state before it will do
                log.info("%s is damaged and is not used (%s)", path, error)
        return None

    def begin_with(self, other: "Checkpoints") -> None:
        """Take over the newest state of another training, if this one has none yet and that one has one."""
        if self.load() is None and (state := other.load()) is not None:
            self.save(state.place, state.arrays)
            log.info("begins with the state in %s", other.folder)

    def clear(self) -> None:
        """Delete every state."""
        shutil.rmtree(self.folder, ignore_errors=True)
