"""How long 50 members take to be combined, and how much memory.

    python benchmarks/ensembles.py [--members 50] [--rows 10000] [--classes 200] [--runs 5] [--signal 4]

Members are generated: logits of which a part is common to all, and the true class of them higher by `--signal`. Each
method is fitted on that many validation images and applied to the same, in a process of its own, whose peak memory counts
the members. Soft voting is timed in turn with two bare passes over the same memory: `whole` exponentiates the array and sums
over its members; `reused` does so a member at a time, into one array. `combine` is the whole job but its files: test split
too.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from common import ROOT, program, spread

METHODS: dict[str, dict[str, Any]] = {
    "soft_vote": {},
    "soft_vote geometric": {"name": "soft_vote", "mean": "geometric"},
    "hard_vote": {},
    "weighted_vote": {},
    "greedy": {},
    "greedy brier": {"name": "greedy", "metric": "brier"},
    "greedy top1": {"name": "greedy", "metric": "top1"},
    "stacking": {},
}
ONE = f"""
import sys; sys.path.insert(0, {str(ROOT / "benchmarks")!r})
from ensembles import one
one(*sys.argv[1:])
"""


def generated(members: int, rows: int, classes: int, signal: float) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities (members, rows, classes) float32 and labels (rows,)."""
    random = np.random.default_rng(0)
    label = random.integers(0, classes, rows)
    common = random.standard_normal((rows, classes), dtype=np.float32)
    common[np.arange(rows), label] += signal
    log_prob = np.empty((members, rows, classes), dtype=np.float32)
    for member in log_prob:
        member[:] = 1.5 * common + random.standard_normal((rows, classes), dtype=np.float32)
        member -= np.log(np.exp(member).sum(axis=1, keepdims=True))
    return log_prob, label


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def whole(log_prob: np.ndarray) -> np.ndarray:
    return np.exp(log_prob).sum(axis=0)


def reused(log_prob: np.ndarray) -> np.ndarray:
    total, one = np.zeros_like(log_prob[0]), np.empty_like(log_prob[0])
    for member in log_prob:
        total += np.exp(member, out=one)
    return total


def one(name: str, members: str, rows: str, classes: str, signal: str) -> None:
    """Print the seconds of a method and the peak memory of this process as JSON."""
    from graft.ensembles import combine
    from graft.predictions import Predictions, SplitPredictions
    from graft.registry import parts

    log_prob, label = generated(int(members), int(rows), int(classes), float(signal))
    method = {"name": name.split()[0], **METHODS.get(name, {})}
    if name == "combine":
        ids, names = np.arange(len(label)).astype(str), [str(k) for k in range(log_prob.shape[2])]
        of_members = {
            str(k): Predictions(names, {s: SplitPredictions(ids, label, own.copy()) for s in ("validation", "test")})
            for k, own in enumerate(log_prob)
        }
        del log_prob
        figures = {"seconds": timed(lambda: combine(of_members, {"name": "greedy"}, temperature=True))}
    else:
        options = {key: value for key, value in method.items() if key != "name"}
        start = time.perf_counter()
        combination = parts("graft.ensembles")[method["name"]].function(log_prob, label, **options)
        figures = {"fit": time.perf_counter() - start, "apply": timed(lambda: combination.apply(log_prob))}
        figures["top1"] = float((combination.apply(log_prob).argmax(axis=1) == label).mean())
    print(json.dumps(figures | {"MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def against_bare_passes(shape: tuple[int, int, int, float], runs: int) -> None:
    from graft.ensembles.averages import arithmetic_mean

    log_prob, label = generated(*shape)
    print(f"{shape}, top-1 accuracy of a member {(log_prob[0].argmax(axis=1) == label).mean():.3f}", flush=True)
    calls = {"ours": arithmetic_mean, "whole": whole, "reused": reused}
    took = [{name: timed(partial(call, log_prob)) for name, call in calls.items()} for _ in range(runs + 1)]
    took = took[1:]  # the first run of each touches its memory for the first time
    print(f"soft vote: {statistics.median(run['ours'] for run in took):.3f} s")
    for name in ("whole", "reused"):
        print(f"soft vote, {name} pass = 1: {spread([run['ours'] / run[name] for run in took])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("members", 50), ("rows", 10_000), ("classes", 200), ("runs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--signal", type=float, default=4)
    parser.add_argument("--methods", nargs="*", choices=[*METHODS, "combine"], default=[*METHODS, "combine"])
    options = parser.parse_args()
    shape = (options.members, options.rows, options.classes, options.signal)
    against_bare_passes(shape, options.runs)
    for name in options.methods:
        found = program(ONE, name, *shape)
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
