"""What several benchmarks do: run a study, and run a program in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the project is not installed, and modules below are imported after this one


def snakemake(folder: Path, study: Path, *targets: str) -> float:
    """Run targets of a study in ``folder``, with the packages of this process; returns seconds."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["snakemake", "--cores", "all", *targets, "--directory", str(folder)]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(ROOT / "profiles/default")]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--configfile", str(study)], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - start


def program(text: str, *arguments: object) -> dict[str, float]:
    """The figures that a program prints as JSON in its last line."""
    command = [sys.executable, "-c", text, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def spread(values: Sequence[float]) -> str:
    return f"median {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f}, n = {len(values)})"
