"""What a search costs beside its trainings, and what it saves.

    python benchmarks/tuning.py workers [--repeats 3] [--trials 6]
    python benchmarks/tuning.py overhead [--repeats 3] [--trials 9]
    python benchmarks/tuning.py asha FOLDER [--studies 5] [--trials 16] [--epochs 27]
    python benchmarks/tuning.py storage [--trials 10000]

All on scikit-learn's digits, with `dcnn` at 16 px (`overhead`: SimCNN at 32 px), a thread for each trial, and trials in a
SQLite file.

`workers`: trials per minute of two workers, each a job of Snakemake on two cores, against one that has one core to itself.
All trials cost the same. Times are those in the storage; what a worker does up to the end of its first trial (imports above
all) is left out, so a worker's rate is that of its second trial to its last; rates of workers are added.

`overhead`: seconds from the end of a trial to the end of the next in one worker, beyond `train_run` in a process that has
trained before (tracing is training), and their parts. The worker's first trial is left out. Training in a trial's process is
the time within `train_run`, less reports to the worker and checkpoints. Limit: 1 s, without predictions and their saving.

`asha`: searches without a pruner and with ASHA, one worker each, with the same seeds: best value of a whole trial, and epochs.
What ASHA saves is spent in part on more trials, for with as many as without a pruner it can at best find the same; of its
trials, those count that it had done by 0.4 of the epochs of the search without a pruner. FOLDER keeps the searches: one that
was interrupted goes on.

`storage`: `collect_trials` and `choose_trial`, imports left out, over a storage of so many complete trials of six epochs, and
what a worker then does between two trials.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil
from common import ROOT, program, snakemake, spread

STUDY = """\
study: tuning
threads: 1
datasets:
  digits: {source: digits, split: {validation: 0.1, test: 0.2, seed: 0}}
models:
"""
MODEL = """\
    architecture: {architecture}
    image_size: {size}
    train: {{epochs: {epochs}, batch_size: 32, learning_rate: 1e-3, schedule: cosine}}
    tune:
      trials: {trials}
"""
EQUAL = """\
      workers: {workers}
      sampler: random
      pruner: none
      space: {{train.learning_rate: {{low: 1e-4, high: 1e-2, log: true}}}}
"""
SEARCHED = """\
      seed: {seed}
      pruner: {pruner}
      space:
        options.weight_decay: {{low: 1e-10, high: 1e-3, log: true}}
        train.optimizer.name: {{choices: [adam, rmsprop, sgd]}}
        train.learning_rate: {{low: 1e-4, high: 1e-2, log: true}}
"""
# The pruner of a search, and how many trials it has for each of the search without one.
PRUNERS = {
    "none": ("none", 1.0),
    "asha": ("{name: asha, min_resource: 3, reduction_factor: 3}", 1.25),
}
SHARE = 0.4
"""Of the epochs of a search without a pruner: those within which ASHA has to find as good a trial."""

TUNING = Path("results/tuning/tuning/digits")

# What a program needs of a folder whose images and splits are made; `timed` notes when a function begins and ends.
START = """
import json, os, shutil, statistics, sys, time
from functools import partial
from pathlib import Path
folder = Path(sys.argv[1])
os.chdir(folder)
from graft.study_file import read_study
study = read_study(Path("study.yaml"))
model = study.models["net"]
tune, spec = model.tune.dump(), model.trained
state = Path("results/tuning/tuning/digits/net/state")

def timed(name, function):
    def call(*args, **options):
        begin = time.monotonic()
        try:
            return function(*args, **options)
        finally:
            with open("times.jsonl", "a") as file:  # by the worker and by the processes of its trials
                file.write(json.dumps([name, begin, time.monotonic()]) + "\\n")
    return call
"""

DATA = """
import pandas as pd
from graft.arrays import gather, open_inputs
from graft.backends import load_backend, start_backend
store, = Path("data").glob("digits-*")
index, splits = pd.read_parquet(store / "index.parquet"), pd.read_parquet("results/tuning/splits/digits.parquet")
data = gather(index, splits, open_inputs(store / f"{model.image_size}px/SHA256SUMS", None))
"""

# scripts/tune_model.py, with its parts timed.
WORKER = (
    START
    + DATA
    + """
load_backend(**study.compute)
import graft.runs
from graft.checkpoints import Checkpoints
from graft.tuning import trials
from graft.tuning.search import Search
from graft.tuning.storage import open_storage
from graft.tuning.workers import work

graft.runs.train_run = timed("train_run", graft.runs.train_run)
graft.runs.predict_run = timed("predict", graft.runs.predict_run)
trials.save_predictions = timed("save", trials.save_predictions)
Checkpoints.save = timed("checkpoint", Checkpoints.save)
search = Search(open_storage(tune["storage"], state), "timed", tune, 0, trials.trial_epochs(spec["train"], tune))
search.claim, search.complete = timed("claim", search.claim), timed("complete", search.complete)
start = timed("start", partial(start_backend, **study.compute))
run = trials.objective(spec, data, tune, state, "timed", start)
def objective(values, number, report):
    return run(values, number, timed("report", report))
work(search, objective, timed("tidy", trials.tidy(state, "timed", search.ranked, 0)))
print("{}")
"""
)

WARM = (
    START
    + DATA
    + """
start_backend(**study.compute)
from graft.runs import train_run
from graft.tuning.space import chosen_spec
seconds = []
for number in range(tune["trials"]):
    chosen = chosen_spec(spec, tune["space"], {"train.learning_rate": 1e-3 + number * 1e-5})
    begin = time.monotonic()
    train_run(chosen, data, tune["seed"])
    seconds.append(time.monotonic() - begin)
print(json.dumps({"seconds": statistics.median(seconds[1:])}))
"""
)

# A storage, and a prediction of each trial, as a search without a pruner leaves them.
FILL = (
    START
    + """
import random
import optuna
from optuna.trial import TrialState, create_trial
from graft.files import record_sums, write_json
from graft.tuning.folders import trial_folder
from graft.tuning.samplers import DIRECTIONS
from graft.tuning.space import distributions
from graft.tuning.storage import open_storage
chance, drawn = random.Random(0), distributions(tune["space"])

def trial(number):
    params = {"options.weight_decay": 10 ** chance.uniform(-10, -3), "train.learning_rate": 10 ** chance.uniform(-4, -2),
              "train.optimizer.name": chance.choice(["adam", "rmsprop", "sgd"])}
    seen = {epoch: chance.random() + 1 / epoch for epoch in range(1, 7)}
    process = {"host": "machine", "pid": 12345, "since": 1795303056.94}
    noted = {"worker": 0, "process": process, "place": number, "deaths": [0, 0], "values": params}
    return create_trial(state=TrialState.COMPLETE, value=seen[6], params=params, distributions=drawn,
                        user_attrs=noted, intermediate_values=seen)

count, prediction = int(sys.argv[2]), state.parent / "trials/0.npz"
prediction = prediction.rename(folder / "prediction.npz")
shutil.rmtree(state)
found = optuna.create_study(storage=open_storage("sqlite", state), study_name="filled", direction=DIRECTIONS[tune["metric"]])
found.add_trials([trial(number) for number in range(count)])
for number in range(count):
    path = trial_folder(state, "filled", number) / "predictions.npz"
    path.parent.mkdir(parents=True)
    os.link(prediction, path)
worker = state.parent / "workers/0"
write_json(worker / "search.json", {"name": "filled", "trials": count})
record_sums(worker / "SHA256SUMS", [worker / "search.json"])
print(json.dumps({"mib": (state / "optuna.db").stat().st_size / 2**20}))
"""
)

COLLECT = (
    START
    + """
import runpy
from types import SimpleNamespace
import optuna, pandas
import graft.jobs
from graft.tuning import outcome, storage
scripts, terminal = Path(sys.argv[2]), os.fdopen(os.dup(1), "w")  # the output of a job goes to its log

class Named(dict):
    __getattr__ = dict.__getitem__

def run(script, inputs, outputs, *without):
    job = SimpleNamespace(rule=script, wildcards=[], log=[f"{script}.log"], input=Named(inputs), output=Named(outputs),
                          params=SimpleNamespace(tune=model.tune.dump(*without)))
    begin = time.monotonic()
    runpy.run_path(str(scripts / f"{script}.py"), init_globals={"snakemake": job})
    return begin, time.monotonic()

at = state.parent
gathered = []
gather = outcome.gather_predictions
outcome.gather_predictions = lambda *arguments: gathered.append(time.monotonic()) or gather(*arguments)
begin, end = run("collect_trials", {"workers": [str(at / "workers/0/search.json")]}, {
    "search": str(at / "search/search.json"), "best": str(at / "search/best.json"),
    "trials": str(at / "search/trials.csv"),
    "values": str(at / "search/intermediate_values.csv"), "sums": str(at / "search/SHA256SUMS"),
    "predictions": str(at / "trials/SHA256SUMS")}, "reruns", "refit")
chosen = run("choose_trial", {"best": str(at / "search/best.json"), "reruns": []},
             {"best": str(at / "best.json"), "sums": str(at / "SHA256SUMS")})
rows = len((at / "search/trials.csv").read_text().splitlines()) - 1
times = {"tables": gathered[0] - begin, "predictions": end - gathered[0], "choose": chosen[1] - chosen[0], "rows": rows}
print(json.dumps(times), file=terminal, flush=True)
"""
)

CLAIM = (
    START
    + """
from graft.tuning.search import Search
from graft.tuning.storage import open_storage
begin = time.monotonic()
search = Search(open_storage("sqlite", state), "filled", tune | {"trials": int(sys.argv[2]) + 9}, 0, 6)
found = {"opening": time.monotonic() - begin}
for turn in ("first", "second"):
    times = [time.monotonic()]
    claimed = search.claim()
    times.append(time.monotonic())
    for epoch in range(1, 7):
        search.report(claimed.trial, epoch, 0.1 / epoch)
    times.append(time.monotonic())
    search.complete(claimed.trial, 0.02)
    search.ranked()
    times.append(time.monotonic())
    names = ("claim", "six reports", "end")
    found |= {f"{turn}: {name}": b - a for name, a, b in zip(names, times, times[1:])}
print(json.dumps(found))
"""
)


def equal(trials: int, *, epochs: int, workers: int = 1, architecture: str = "dcnn", size: int = 16) -> str:
    """A model whose trials all cost the same."""
    text = MODEL.format(architecture=architecture, size=size, epochs=epochs, trials=trials)
    return text + EQUAL.format(workers=workers)


def searched(trials: int, *, epochs: int, seed: int, pruner: str) -> str:
    """A model whose trials differ."""
    text = MODEL.format(architecture="dcnn", size=16, epochs=epochs, trials=trials)
    return text + SEARCHED.format(seed=seed, pruner=pruner)


def prepared(folder: Path, **models: str) -> Path:
    """A folder with a study of these models, its images and its splits; returns the study's file."""
    path = folder / "study.yaml"
    path.write_text(STUDY + "".join(f"  {name}:\n{text}" for name, text in models.items()))
    snakemake(folder, path, "datasets")
    return path


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Within the block, what is started runs on so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Others:
    """How many cores the machine has spent, from here on, on what this benchmark did not start."""

    def __init__(self) -> None:
        self._start, self._spent = time.monotonic(), self._now()

    def _now(self) -> float:
        of_all, ours = psutil.cpu_times(), os.times()
        return of_all.user + of_all.nice + of_all.system - ours.children_user - ours.children_system

    def __str__(self) -> str:
        return f"others on {(self._now() - self._spent) / (time.monotonic() - self._start):.2f} cores"


def trials_per_minute(state: Path) -> float:
    """Of each worker from its second trial on, added up."""
    import optuna

    from graft.tuning.storage import open_storage

    storage = open_storage("sqlite", state)
    ends = defaultdict(list)
    for trial in optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False):
        ends[trial.user_attrs["worker"]].append(trial.datetime_complete.timestamp())
    return sum(60 * (len(each) - 1) / (max(each) - min(each)) for each in ends.values())


def workers(repeats: int, trials: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counts = {"one": 1, "two": 2}
        texts = {name: equal(trials * count, epochs=8, workers=count) for name, count in counts.items()}
        study = prepared(folder, **texts)
        ratios = []
        for _ in range(repeats):
            rates = {}
            for name, count in counts.items():
                targets = [str(TUNING / name / f"workers/{worker}/search.json") for worker in range(count)]
                others = Others()
                with on_cores(count):
                    snakemake(folder, study, *targets, "--cores", str(count))
                rates[name] = trials_per_minute(folder / TUNING / name / "state")
                shutil.rmtree(folder / TUNING / name)
                print(f"{name}: {rates[name]:.2f} trials per minute ({others})", flush=True)
            ratios.append(rates["two"] / rates["one"])
        print(f"two workers, one = 1: {spread(ratios)}; limit: at least 1.7")


def parts_of_trials(times: Path) -> list[dict[str, float]]:
    """Seconds of each part of each trial but the first."""
    events = [json.loads(line) for line in times.read_text().splitlines()]
    ends = [end for name, _, end in events if name == "tidy"]
    found = []
    for before, after in pairwise(ends):
        inside = [event for event in events if before <= event[1] < after]
        took: dict[str, float] = defaultdict(float)
        for name, begin, end in inside:
            took[name] += end - begin
        at = {name: (begin, end) for name, begin, end in inside}
        took["fork"] = at["start"][0] - at["claim"][1]
        took["end of the process"] = at["complete"][0] - at["save"][1]
        took["train_run"] -= took["report"] + took["checkpoint"]
        named = sum(took.values())
        found.append({"all": after - before, **took, "rest": after - before - named})
    return found


def overhead(repeats: int, trials: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepared(folder, net=equal(trials, epochs=2, architecture="simcnn", size=32))
        found, warmed = [], []
        for _ in range(repeats):
            others = Others()
            program(WORKER, folder)
            parts = parts_of_trials(folder / "times.jsonl")
            (folder / "times.jsonl").unlink()
            shutil.rmtree(folder / TUNING)
            found += parts
            warmed += [program(WARM, folder)["seconds"]] * len(parts)
            each = statistics.median(part["all"] for part in parts)
            shown = f"a trial {each:.2f} s, training in a process that has trained {warmed[-1]:.2f} s"
            print(f"{shown} ({others})", flush=True)
        for name in found[0]:
            print(f"  {name}: {spread([part[name] for part in found])}")
        besides = [part["all"] - part["train_run"] - part["predict"] - part["save"] for part in found]
        print(f"besides train_run and predictions: {spread(besides)}")
        slower = [part["train_run"] - warm for part, warm in zip(found, warmed, strict=True)]
        print(f"train_run, beyond one in a process that has trained: {spread(slower)}")
        print(f"both: {spread([a + b for a, b in zip(besides, slower, strict=True)])}; limit: 1 s")


class Found(NamedTuple):
    """The best whole trial of a search, the test accuracy of its network, and the epochs by then."""

    val_loss: float
    test_top1: float
    epochs: int


def best_within(search: Path, epochs: float) -> Found:
    """Of the whole trials that a search of one worker had done by so many epochs."""
    from graft.predictions import load_predictions

    whole, ran = [], 0
    for row in csv.DictReader((search / "search/trials.csv").open()):
        if ran + int(row["epochs"]) > epochs:
            break
        ran += int(row["epochs"])
        whole += [(float(row["value"]), row["trial"])] if row["state"] == "complete" else []
    value, trial = min(whole)
    test = load_predictions(search / f"trials/{trial}.npz").splits["test"]
    return Found(value, float((test.log_prob.argmax(axis=1) == test.label).mean()), ran)


def asha(folder: Path, studies: int, trials: int, epochs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        f"{pruner}_{seed}": searched(round(more * trials), epochs=epochs, seed=seed, pruner=text)
        for seed in range(studies)
        for pruner, (text, more) in PRUNERS.items()
    }
    study = prepared(folder, **texts)
    seconds = snakemake(folder, study, *(str(TUNING / name / "search/search.json") for name in texts))
    found: dict[str, list[Found]] = defaultdict(list)
    for seed in range(studies):
        for pruner in PRUNERS:
            most = trials * epochs * (SHARE if pruner != "none" else 1)
            found[pruner].append(best_within(folder / TUNING / f"{pruner}_{seed}", most))
        shown = (f"{pruner} {each[-1].val_loss:.4f} in {each[-1].epochs} epochs" for pruner, each in found.items())
        print(f"seed {seed}: best val_loss {', '.join(shown)}")
    ran = sum(each.epochs for each in found["none"])
    print(f"means of {studies} searches, and epochs (none = 1); limit: a val_loss of at most that of none")
    for pruner, each in found.items():
        loss, top1 = (statistics.mean(values) for values in list(zip(*each, strict=True))[:2])
        print(
            f"  {pruner}: val_loss {loss:.4f}, test accuracy {top1:.4f}, epochs {sum(e.epochs for e in each) / ran:.3f}"
        )
    print(f"{seconds / 60:.0f} min")


def storage(trials: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = prepared(folder, net=searched(1, epochs=6, seed=0, pruner="median"))
        snakemake(folder, study, str(TUNING / "net/search/search.json"))  # for the predictions of a trial
        study.write_text(study.read_text().replace("trials: 1\n", f"trials: {trials}\n"))
        print(f"{trials} trials: a file of {program(FILL, folder, trials)['mib']:.0f} MiB")
        others = Others()
        took = program(COLLECT, folder, ROOT / "scripts")
        assert took["rows"] == trials
        print(f"trials.csv and the other tables {took['tables']:.1f} s, best.json {took['choose']:.1f} s; limit: 10 s")
        print(f"besides, predictions of each trial gathered: {took['predictions']:.1f} s ({others})")
        for name, seconds in program(CLAIM, folder, trials).items():
            print(f"  {name}: {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, count in (("workers", 6), ("overhead", 9)):
        command = commands.add_parser(name)
        command.add_argument("--repeats", type=int, default=3)
        command.add_argument("--trials", type=int, default=count)
    paired = commands.add_parser("asha")
    paired.add_argument("folder", type=Path)
    for name, count in (("studies", 5), ("trials", 16), ("epochs", 27)):
        paired.add_argument(f"--{name}", type=int, default=count)
    commands.add_parser("storage").add_argument("--trials", type=int, default=10_000)
    options = vars(parser.parse_args())
    {"workers": workers, "overhead": overhead, "asha": asha, "storage": storage}[options.pop("command")](**options)


if __name__ == "__main__":
    main()
