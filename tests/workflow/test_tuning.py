"""A search as part of a study: its workers are killed, and it is asked for more."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import optuna
import pandas as pd
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from graft.files import verified, verified_all
from graft.predictions import load_predictions
from tests.workflow.conftest import Project, clean_environment

STUDY = """\
study: search
seeds: [0, 1]
threads: 1
datasets:
  digits:
    source: digits
    split: {validation: 0.1, test: 0.2, seed: 0}
    subset: {fraction: 0.25}
models:
  dcnn:
    architecture: dcnn
    image_size: 16
    train: {epochs: 5, batch_size: 64, learning_rate: 1e-3}
    tune:
      trials: 7
      workers: 3
      epochs: 4
      pruner: {name: asha, min_resource: 2, reduction_factor: 2}
      top_k: 1
      reruns: 2
      refit: continue
      start_from: [{options.weight_decay: 4.733e-9, train.optimizer.name: adam}]
      space:
        options.weight_decay: {low: 1e-10, high: 1e-3, log: true}
        train.optimizer.name: {choices: [adam, sgd]}
        train.optimizer.momentum: {low: 0.0, high: 0.9, when: {train.optimizer.name: sgd}}
"""
TUNING = "results/search/tuning/digits/dcnn"
BEST = f"{TUNING}/best.json"


def workers(of: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a running Snakemake that deal trials out, each of which has a trial as its child."""
    found = []
    for child in psutil.Process(of.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "tune_model.py" in " ".join(child.cmdline()[-1:]) and child.children():
                found.append(child)
    return found


def trials(project: Project) -> list[FrozenTrial]:
    (study,) = optuna.get_all_study_names(storage := f"sqlite:///{project.folder / TUNING}/state/optuna.db")
    return optuna.load_study(study_name=study, storage=storage).get_trials(deepcopy=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A study whose workers were killed while trials ran, one by one, and that was then run again to its end."""
    project = Project(tmp_path_factory.mktemp("killed"))
    (project.folder / "config.yaml").write_text(STUDY)
    command = ["snakemake", "--cores", "3", "--keep-going", BEST]
    log = (project.folder / "killed.log").open("wb")
    running = subprocess.Popen(command, cwd=project.folder, env=clean_environment(), stdout=log, stderr=log)
    kills, deadline = 0, time.monotonic() + 600
    while running.poll() is None and time.monotonic() < deadline:
        at_work = workers(running)
        if kills < 2 and len(at_work) == 3 - kills:
            at_work[0].kill()
            kills += 1
        time.sleep(0.5)
    log.close()
    assert kills == 2
    assert running.returncode == 1, (project.folder / "killed.log").read_text()
    project.snakemake("--cores", "3", "results/search/runs/digits/dcnn/seed0/SHA256SUMS")
    yield project


def test_exactly_the_trials_asked_for_finish_whoever_is_killed(killed: Project) -> None:
    states = Counter(trial.state for trial in trials(killed))
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == 7
    assert not states[TrialState.RUNNING]
    assert not states[TrialState.WAITING]
    table = pd.read_csv(verified(killed.folder / TUNING / "search/trials.csv"))
    assert len(table) == 7
    assert table["trial"].is_unique
    assert "complete" in set(table["state"]) <= {"pruned", "complete"}
    assert (table["epochs"][table["state"] == "complete"] == 4).all()
    assert (table["epochs"][table["state"] == "pruned"] < 4).all()
    assert table["train.optimizer.momentum"].notna().equals(table["train.optimizer.name"] == "sgd")


def test_a_known_point_is_one_of_the_trials(killed: Project) -> None:
    table = pd.read_csv(killed.folder / TUNING / "search/trials.csv").set_index("start")
    assert table.loc[True, "options.weight_decay"] == 4.733e-9
    assert table.loc[True, "train.optimizer.name"] == "adam"


def test_complete_trials_have_predictions_and_pruned_ones_left_nothing(killed: Project) -> None:
    table = pd.read_csv(killed.folder / TUNING / "search/trials.csv").set_index("trial")
    complete = set(table.index[table["state"] == "complete"])
    paths = verified_all(killed.folder / TUNING / "trials/SHA256SUMS")
    assert {int(path.stem) for path in paths} == complete
    for path in paths:
        validation = load_predictions(path).splits["validation"]
        loss = -validation.log_prob[range(len(validation.label)), validation.label].mean()
        # The value has the weight decay on top of the loss.
        assert loss <= table.loc[int(path.stem), "value"] + 1e-4
    (search,) = [path for path in (killed.folder / TUNING / "state").iterdir() if path.is_dir()]
    assert {int(path.name.removeprefix("trial")) for path in search.iterdir()} == complete
    assert len(list(search.glob("*/state"))) == 1  # which may be trained on


def test_the_best_in_its_reruns_is_trained_on(killed: Project) -> None:
    best = json.loads(verified(killed.folder / BEST).read_text())
    (rerun,) = best["reruns"]
    assert (rerun["trial"], rerun["rerun"]["seeds"]) == (best["trial"], [1, 2])
    assert not set(rerun["rerun"]["values"]) & {best["value"]}
    log = (killed.folder / "results/search/logs/train_model/digits/dcnn/seed0.log").read_text()
    assert f"/trial{best['trial']}/state" in log
    assert "going on from epoch 5, step 0" in log
    history = pd.read_csv(killed.folder / "results/search/runs/digits/dcnn/seed0/history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    intermediate = pd.read_csv(killed.folder / TUNING / "search/intermediate_values.csv")
    tuned = intermediate[intermediate["trial"] == best["trial"]]["value"]
    assert history["val_loss"].tolist()[:4] == tuned.tolist()


def test_more_trials_are_added_and_another_space_is_another_search(killed: Project) -> None:
    search = f"{TUNING}/search/search.json"
    before = pd.read_csv(killed.folder / TUNING / "search/trials.csv")
    with killed.edited("config.yaml", lambda text: text.replace("trials: 7", "trials: 8")):
        planned = killed.planned(search)
        assert planned == {f"tune_model digits/dcnn/{worker}" for worker in range(3)} | {"collect_trials digits/dcnn"}
        killed.snakemake("--cores", "3", search)
        after = pd.read_csv(killed.folder / TUNING / "search/trials.csv")
        pd.testing.assert_frame_equal(after[:7], before)
        assert len(after) == 8
    changed = STUDY.replace("trials: 7", "trials: 1").replace("workers: 3", "workers: 1")
    with killed.edited("config.yaml", lambda _: changed.replace("high: 1e-3", "high: 1e-4")):
        killed.snakemake("--cores", "1", search)
    storage = f"sqlite:///{killed.folder / TUNING}/state/optuna.db"
    counts = [summary.n_trials for summary in optuna.get_all_study_summaries(storage)]
    assert sorted(counts)[0] == 1
    assert sorted(counts)[1] >= 8


def test_a_worker_that_is_asked_to_end_loses_nothing(killed: Project, tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "config.yaml").write_text(STUDY.replace("workers: 3", "workers: 1").replace("trials: 7", "trials: 1"))
    command = ["snakemake", "--cores", "1", f"{TUNING}/search/search.json"]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 120
    while not (at_work := workers(running)) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(at_work[0].pid, signal.SIGTERM)
    said, _ = running.communicate(timeout=180)
    assert b"tune_model digits dcnn 0: stopped by SIGTERM" in said
    assert [trial.state for trial in trials(project)] == [TrialState.RUNNING]
    project.snakemake(*command[1:])
    assert [trial.state for trial in trials(project)] == [TrialState.COMPLETE]
    assert (
        "trial 0 is taken up again" in (tmp_path / "results/search/logs/tune_model/digits/dcnn/worker0.log").read_text()
    )
