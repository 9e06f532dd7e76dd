"""One worker of a search over a bowl: ``search_worker.py FOLDER STORAGE WORKERS WORKER TRIALS [SECONDS]``, for the tests.

A trial reports three epochs, each after so many seconds; one in a hundred ends its own process with SIGKILL, as one for
which memory runs out.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from graft.tuning.search import Search
from graft.tuning.storage import open_storage
from graft.tuning.workers import Report, work

TUNE: dict[str, Any] = {
    "space": {
        "train.learning_rate": {"low": 1e-4, "high": 1.0, "log": True},
        "head.units": {"low": 1, "high": 64, "log": False},
    },
    "metric": "val_loss",
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "median", "n_startup_trials": 4, "n_warmup_steps": 0},
}


def main(folder: Path, storage: str, workers: int, worker: int, trials: int, seconds: float = 0.03) -> None:
    def bowl(values: dict[str, Any], number: int, report: Report) -> float:
        if number == 7 and not (folder / "seven").exists():
            (folder / "seven").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for epoch in (1, 2, 3):
            time.sleep(seconds)
            report(epoch, abs(values["head.units"] - 32) + values["train.learning_rate"] + 1 / epoch)
        return float(abs(values["head.units"] - 32) + values["train.learning_rate"])

    tune = TUNE | {"trials": trials, "workers": workers}
    work(Search(open_storage(storage, folder), "bowl", tune, worker, 3), bowl)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]), *map(float, sys.argv[6:]))
