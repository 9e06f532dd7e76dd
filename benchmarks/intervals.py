"""How long the intervals and tests of 50 members take, and how much memory.

    python benchmarks/intervals.py [--members 50] [--rows 10000] [--classes 200] [--draws 2000] [--signal 4]

Members are generated as in `ensembles.py`. Each part runs in a process of its own, which generates them first; that takes
no part in the time, but its memory counts.

main: top-1, top-5, log loss, Brier score, calibration error, balanced accuracy and F1 of all members with their intervals,
from log probabilities on; and of all pairs McNemar's exact test and a permutation test of top-1 accuracy, with Holm's
adjustment. comparisons: all that `compare_models` says of one data set, whose permutations are as many as its pairs need.
growth: accuracy of the soft vote against the number of members. roc_auc: of one member, and ten draws of its bootstrap.
"""

import argparse
import itertools
import json
import os
import resource
import time
from typing import Any

import numpy as np
from common import ROOT, program
from ensembles import generated

ONE = f"""
import sys; sys.path.insert(0, {str(ROOT / "benchmarks")!r})
from intervals import one
one(*sys.argv[1:])
"""
PARTS = ("main", "comparisons", "growth", "roc_auc")


class Laps:
    """Seconds since the last lap by name, of the clock and of all processors."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.last = self.now()

    @staticmethod
    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def end(self, name: str) -> None:
        now = self.now()
        self.seconds[name] = [later - before for later, before in zip(now, self.last, strict=True)]
        self.last = now


def main_part(laps: Laps, log_prob: np.ndarray, label: np.ndarray, draws: int) -> None:
    from graft.metrics import intervals, outcomes
    from graft.statistics import holm, mcnemar_tests, permutation_tests

    found = [outcomes(member, label) for member in log_prob]
    laps.end("scores of each image")
    intervals(found, draws)
    laps.end("metrics and intervals")
    hits = np.column_stack([each.scores["top1"] for each in found])
    pairs = list(itertools.combinations(range(len(log_prob)), 2))
    holm([test.p for test in mcnemar_tests(hits > 0, pairs)])
    laps.end("McNemar")
    holm([test.p for test in permutation_tests(hits, pairs, draws)])
    laps.end("permutations")


def comparisons_part(laps: Laps, log_prob: np.ndarray, label: np.ndarray, draws: int) -> None:
    from graft.comparisons import pairs_table, scored
    from graft.predictions import Predictions, SplitPredictions

    ids, names = np.arange(len(label)).astype(str), [str(k) for k in range(log_prob.shape[2])]
    runs = [
        scored("data", str(k), Predictions(names, {"test": SplitPredictions(ids, label, own)}))
        for k, own in enumerate(log_prob)
    ]
    pairs_table(runs, draws)
    laps.end("pairs.csv")


def growth_part(laps: Laps, log_prob: np.ndarray, label: np.ndarray, _: int) -> None:
    from graft.statistics import soft_vote_accuracy

    soft_vote_accuracy(log_prob, label)
    laps.end("growth")


def roc_auc_part(laps: Laps, log_prob: np.ndarray, label: np.ndarray, _: int) -> None:
    from graft.metrics import roc_auc

    roc_auc(log_prob[0], label)
    laps.end("of one member")
    random = np.random.default_rng(0)
    for _ in range(10):
        rows = random.integers(len(label), size=len(label))
        roc_auc(log_prob[0][rows], label[rows])
    laps.end("10 draws of its bootstrap")


def one(part: str, members: str, rows: str, classes: str, signal: str, draws: str) -> None:
    """Print the seconds of a part's steps and the peak memory of this process as JSON."""
    log_prob, label = generated(int(members), int(rows), int(classes), float(signal))
    laps = Laps()
    run = {"main": main_part, "comparisons": comparisons_part, "growth": growth_part, "roc_auc": roc_auc_part}[part]
    run(laps, log_prob, label, int(draws))
    total = [sum(each) for each in zip(*laps.seconds.values(), strict=True)]
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"MiB": mib, **laps.seconds, "in all": total}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("members", 50), ("rows", 10_000), ("classes", 200), ("draws", 2_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--signal", type=float, default=4)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    print(f"{options.members} members x {options.rows} images x {options.classes} classes, {options.draws} draws")
    for part in options.parts:
        numbers = (options.members, options.rows, options.classes, options.signal, options.draws)
        found: dict[str, Any] = program(ONE, part, *numbers)
        print(f"{part}: peak memory {found.pop('MiB') / 1024:.2f} GiB, load {os.getloadavg()[0]:.1f}")
        for name, (wall, processor) in found.items():
            print(f"    {name}: {wall:.1f} s, of processors {processor:.1f} s", flush=True)


if __name__ == "__main__":
    main()
