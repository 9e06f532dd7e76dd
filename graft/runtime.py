"""What a job cost and where it ran: for the reader's information, never compared."""

import os
import platform
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "jax", "torch", "optuna", "numpy", "pandas", "scikit-learn")
KIB = 1024


class Stopwatch:
    """Measures a job from here, and the memory and CPU time of its processes from their start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def report(self, **facts: Any) -> dict[str, Any]:
        """Wall and CPU seconds, the most resident memory in MiB of one process, machine, versions, and ``facts``."""
        own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        per_mib = KIB if platform.system() == "Linux" else KIB * KIB  # macOS counts bytes
        return {
            "wall_seconds": round(time.monotonic() - self._start, 3),
            "cpu_seconds": round(own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime, 3),
            "peak_memory_mib": round(max(own.ru_maxrss, ended.ru_maxrss) / per_mib, 1),
            "machine": {
                "system": platform.platform(),
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
            },
            "versions": {name: found for name in PACKAGES if (found := _version(name))},
            **facts,
        }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
