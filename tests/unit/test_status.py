"""How far a study is: what its logs say, what is counted, and what is shown of it."""

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import UserError
from graft.status import (
    STAGES,
    Plan,
    Search,
    Training,
    find_studies,
    held_files,
    read_plan,
    read_search,
    read_status,
    read_training,
    stage_of,
    stage_rows,
    status_lines,
)

ROOT = Path(__file__).resolve().parents[2]


def at(clock: str) -> float:
    """Seconds since the epoch of a time of the day that the logs below are of."""
    return datetime.fromisoformat(f"2026-11-22 {clock}").timestamp()


def about(value: float, **options: Any) -> Any:
    return pytest.approx(value, **options)


NATIVE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795315425.713965   28309 port.cc:153] oneDNN custom operations are on. You may see slightly different
"""
TRAINING = """\
2026-11-22 02:45:06,948  epoch 1/24  step 14/80  accuracy 0.2455  loss 6.7871
2026-11-22 02:51:33,446  epoch 1/24  accuracy 0.3664  loss 3.3263  val_accuracy 0.2701  val_loss 2.3543
2026-11-22 02:52:34,424  epoch 2/24  step 41/80  accuracy 0.4665  loss 1.5122
2026-11-22 02:54:00,053  epoch 2/24  accuracy 0.4807  loss 1.4303  val_accuracy 0.2286  val_loss 1.8378
2026-11-22 02:56:02,199  epoch 3/24  step 75/80  accuracy 0.5263  loss 1.2164
"""
FINISHED = """\
2026-11-22 02:47:01,656  epoch 24/24  accuracy 0.8227  loss 0.4922  val_accuracy 0.7558  val_loss 0.6446
2026-11-22 02:47:05,495  24 epochs, validation accuracy 0.7558
"""
SEARCH = """\
2026-11-22 02:53:22,371  epoch 6/6  accuracy 0.9518  loss 0.1460  val_accuracy 0.6042  val_loss 1.2639
2026-11-22 02:53:22,918  trial 0; 1 of 8 done (0 pruned), 0 failed, best val_loss 1.2639 (trial 0)
2026-11-22 02:53:52,591  epoch 6/6  accuracy 0.9831  loss 0.0520  val_accuracy 0.8333  val_loss 0.6585
2026-11-22 02:53:53,373  trial 1; 2 of 8 done (0 pruned), 0 failed, best val_loss 0.6585 (trial 1)
2026-11-22 02:54:53,855  epoch 2/6  accuracy 0.1503  loss 4.8670  val_accuracy 0.1562  val_loss 2.2783
2026-11-22 02:54:52,918  trial 3; 4 of 8 done (1 pruned), 0 failed, best val_loss 0.6585 (trial 1)
2026-11-22 02:55:13,948  epoch 1/6  accuracy 0.2339  loss 5.0124  val_accuracy 0.3281  val_loss 2.8559
"""
PLAN = """\
Assuming unrestricted shared filesystem usage.
Building DAG of jobs...
Using shell: /usr/bin/bash
Provided cores: 2
Rules claiming more threads will be scaled down.
Conda environments: ignored
Job stats:
job                      count
---------------------  -------
prepare_images               1
train_model                  5
train_with_snapshots         1
tune_model                   1
draw_learning_curves         2
all                          1
total                       11

Select jobs to execute...
Execute 1 jobs...
[Sun Nov 22 02:43:28 2026]
Finished jobid: 5 (Rule: prepare_images)
1 of 11 steps (9%) done
Execute 2 jobs...
Select jobs to execute...
[Sun Nov 22 02:47:12 2026]
Finished jobid: 26 (Rule: train_model)
2 of 11 steps (18%) done
Execute 1 jobs...
"""
BROKEN = """\
RuleException:
CalledProcessError in file "/home/me/graft/rules/training.smk", line 39:
Command 'set -euo pipefail;  /venv/bin/python /home/me/.snakemake/scripts/tmp33p4so9e.train_model.py' {how}.
"""
FAILED = BROKEN.format(how="returned non-zero exit status 1")
NAMED = """\
[Sun Nov 22 02:50:00 2026]
Error in rule train_model:
    jobid: 5
    output: results/flowers/runs/flowers/dcnn/seed3/model.keras
    log: results/flowers/logs/train_model/flowers/dcnn/seed3.log (check log file(s) for error details)
"""
END = """\
Exiting because a job execution failed. Look above for error messages
Complete log(s): /home/me/.snakemake/log/2026-11-22T024325.469011.snakemake.log
Elapsed time: 0:09:48.378465
WorkflowError:
At least one job did not complete successfully.
"""
DIVERGED = "2026-11-22 02:49:59,123  training diverged in epoch 2, step 7 (loss nan); lower train.learning_rate\n"
SNAKEMAKE = ".snakemake/log/2026-11-22T024325.469011.snakemake.log"
NOW = at("02:56:12.199")


class Folder:
    """A folder in which Snakemake was started, and the study ``flowers`` in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, root / "results/flowers"

    def write(self, name: str, text: str, clock: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (at(clock), at(clock)))
        return path

    def log(self, job: str, text: str, clock: str, done: str | None = None, seconds: float = 100.0) -> Path:
        """The log of a job, and its benchmark if the job is done."""
        if done:
            benchmark = f"s\th:m:s\tmax_rss\n{seconds}\t0:01:40\t812.5\n"
            self.write(f"results/flowers/benchmarks/{job}.tsv", benchmark, done)
        return self.write(f"results/flowers/logs/{job}.log", text, clock)

    def lock(self, *outputs: str) -> None:
        self.write(".snakemake/locks/0.output.lock", "".join(f"{output}\n" for output in outputs), "02:43:26")

    def states(self, *held: Path) -> dict[str, str]:
        jobs = read_status(self.results, NOW, {path.resolve() for path in held}).jobs
        return {f"{job.rule}/{job.name}".rstrip("/"): job.state for job in jobs}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def running(folder: Folder) -> tuple[Folder, set[Path]]:
    """A study that runs, and the files that its processes write: two jobs of an earlier run, two done, two running."""
    folder.log("split_dataset/flowers", "2026-11-22 01:59:31,831  2,538 train, 747 test\n", "01:59:32", "01:59:33")
    folder.log("train_model/flowers/dcnn/seed0", FINISHED, "01:47:05", "01:47:12", seconds=500.0)
    folder.log(
        "prepare_images/flowers-7e3aebf926-64px", "2026-11-22 02:43:27,252  3670 images\n", "02:43:27", "02:43:28"
    )
    folder.log("train_model/flowers/dcnn/seed1", FINISHED, "02:47:05", "02:47:12", seconds=300.0)
    training = folder.log("train_model/flowers/dcnn/seed2", NATIVE + TRAINING, "02:56:02")
    search = folder.log("tune_model/flowers/resnet/worker0", NATIVE + SEARCH, "02:55:14")
    snakemake = folder.write(SNAKEMAKE, PLAN, "02:55:14")
    seeds = [
        f"results/flowers/runs/flowers/dcnn/seed{seed}/{name}"
        for seed in (1, 2, 3)
        for name in ("model.keras", "SHA256SUMS")
    ]
    folder.lock(*seeds)
    return folder, {path.resolve() for path in (training, search, snakemake)}


# -- what a log says -----------------------------------------------------------------------------------------------------


def test_a_training_says_where_it_is_and_what_was_best() -> None:
    # 146.607 s from the end of one epoch to that of the next, 22 of them, less what has passed since.
    found = read_training(NATIVE + TRAINING, at("02:56:02.199"))
    assert found == Training(3, 24, 75, 80, 0.2701, 1.8378, about(22 * 146.607 - 122.146, abs=1e-3))


def test_a_training_between_two_epochs_has_no_step_and_one_that_is_late_no_time_left() -> None:
    text = TRAINING.rpartition("2026")[0]
    found = read_training(text, at("23:00:00"))
    assert found == Training(2, 24, None, None, 0.2701, 1.8378, 0.0)


def test_a_training_that_began_anew_is_known_from_there() -> None:
    again = "2026-11-22 02:56:03,000  out of memory with batch_size 64: once more, with half of it\n"
    again += "2026-11-22 02:57:00,000  epoch 1/24  accuracy 0.3  loss 3.3  val_accuracy 0.1000  val_loss 4.0000\n"
    assert read_training(TRAINING + again, NOW) == Training(1, 24, None, None, 0.1, 4.0, None)


def test_a_training_that_was_stopped_goes_on_at_its_epoch() -> None:
    text = "2026-11-22 02:54:00,053  going on from epoch 9, step 0\n" + TRAINING.replace("epoch 1/", "epoch 9/")
    found = read_training(text.replace("epoch 2/", "epoch 10/").replace("epoch 3/", "epoch 11/"), NOW)
    assert found is not None and (found.epoch, found.accuracy) == (11, 0.2701)


@pytest.mark.parametrize("text", ["", NATIVE, TRAINING[:70], "2026-11-22 02:45:06,948  waits until 1 of the GPUs\n"])
def test_nothing_is_known_of_a_training_before_the_first_line_of_an_epoch(text: str) -> None:
    assert read_training(text, NOW) is None


def test_a_line_that_is_being_written_is_not_read() -> None:
    found = read_training(TRAINING + "2026-11-22 02:57:00,000  epoch 3/24  accuracy 0.5  val_accuracy 0.99", NOW)
    assert found == read_training(TRAINING, NOW)


def test_a_search_says_its_trials_the_best_and_the_epoch_of_the_one_that_runs() -> None:
    # 3 trials in 90 s, 4 of them left, less what has passed since.
    found = read_search([NATIVE + SEARCH], at("02:55:13"))
    assert found == Search(4, 8, 1, 0, "loss 0.6585", 1, 6, about(4 * 30 - 20.082))


def test_workers_share_a_search_and_the_one_that_is_furthest_says_how_far() -> None:
    other = "2026-11-22 02:55:22,918  trial 4; 5 of 8 done (2 pruned), 1 failed, best val_loss 0.6585 (trial 1)\n"
    found = read_search([other, SEARCH], at("02:55:22.918"))
    assert found == Search(5, 8, 2, 1, "loss 0.6585", None, None, about(3 * 30))


def test_a_search_without_a_complete_trial_has_no_best() -> None:
    found = read_search(["2026-11-22 02:54:54,202  trial 0; 0 of 8 done (0 pruned), 1 failed\n"], NOW)
    assert found == Search(0, 8, 0, 1, None, None, None, None)
    assert read_search([NATIVE], NOW) is None


def test_a_plan_says_the_jobs_of_each_rule_and_the_steps_that_are_done() -> None:
    plan = read_plan(PLAN)
    assert plan is not None
    assert plan.planned == {
        "prepare_images": 1,
        "train_model": 5,
        "train_with_snapshots": 1,
        "tune_model": 1,
        "draw_learning_curves": 2,
        "all": 1,
    }
    assert plan[1:] == (2, 11, set(), {}, False)


def test_a_plan_says_what_failed_and_that_it_ended() -> None:
    killed = BROKEN.format(how="died with <Signals.SIGTERM: 15>")
    plan = read_plan(PLAN + FAILED + killed + NAMED + END)
    assert isinstance(plan, Plan)
    assert plan.broken == {"train_model": 2}
    assert plan.failed == {"results/flowers/logs/train_model/flowers/dcnn/seed3.log"}
    assert plan.ended


@pytest.mark.parametrize("text", ["", PLAN[:300], "Building DAG of jobs...\nNothing to be done (all is up to date).\n"])
def test_there_is_no_plan_before_its_table_is_whole(text: str) -> None:
    assert read_plan(text) is None


def test_every_rule_with_a_log_is_in_a_stage() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = re.findall(r'LOGS / "(\w+)', text)
    assert len(rules) > 20
    assert [rule for rule in rules if stage_of(rule) == "other"] == []
    assert {stage_of(rule) for rule in rules} == set(STAGES) - {"other"}


# -- what is counted -----------------------------------------------------------------------------------------------------


def test_jobs_are_counted_by_what_became_of_them(running: tuple[Folder, set[Path]]) -> None:
    folder, held = running
    rows = stage_rows(read_status(folder.results, NOW, held))
    assert {stage: row[:6] for stage, row in rows.items()} == {
        "prepare": (1, 1, 0, 0, 0, 0),
        "tune": (0, 0, 1, 0, 0, 0),
        "train": (1, 1, 1, 0, 0, 4),
        "figures": (0, 0, 0, 0, 0, 2),
    }


def test_a_stage_takes_what_its_trainings_do_and_those_of_the_same_model_before(
    running: tuple[Folder, set[Path]],
) -> None:
    folder, held = running
    status = read_status(folder.results, NOW, held)
    left = status.trainings["train_model/flowers/dcnn/seed2"].left
    rows = stage_rows(status)
    # Of the lock, seed 3 of a model whose two seeds took 400 s in the mean; the three jobs besides are unknown.
    assert left is not None and rows["train"][6:] == (about(left + 400), True)
    assert rows["tune"][6:] == (about(4 * 30 - (NOW - at("02:54:52.918"))), False)
    assert rows["figures"][6:] == (None, False)


def test_a_job_that_runs_again_is_not_done_though_its_benchmark_is_there(folder: Folder) -> None:
    log = folder.log("train_model/flowers/dcnn/seed0", "", "02:50:00", done="02:10:00")
    folder.write(SNAKEMAKE, PLAN, "02:55:14")
    assert folder.states(log) == {"train_model/flowers/dcnn/seed0": "running"}


def test_a_job_failed_if_snakemake_says_so_of_as_many_of_its_rule(folder: Folder) -> None:
    folder.log("train_model/flowers/dcnn/seed0", DIVERGED, "02:49:59")
    running = folder.log("train_model/flowers/dcnn/seed1", TRAINING, "02:49:59")
    folder.write(SNAKEMAKE, PLAN + FAILED, "02:55:14")
    failed = {"train_model/flowers/dcnn/seed0": "failed", "train_model/flowers/dcnn/seed1": "running"}
    assert folder.states(running) == failed
    # Two are neither done nor running, and one of them failed: which is not known.
    assert set(folder.states().values()) == {"silent"}
    folder.write(SNAKEMAKE, PLAN + FAILED + FAILED, "02:55:14")
    assert set(folder.states().values()) == {"failed"}


def test_a_job_failed_if_snakemake_names_its_log(folder: Folder) -> None:
    folder.log("train_model/flowers/dcnn/seed2", TRAINING, "02:49:59")
    folder.log("train_model/flowers/dcnn/seed3", DIVERGED, "02:49:59")
    folder.write(SNAKEMAKE, PLAN + NAMED, "02:55:14")
    assert folder.states() == {"train_model/flowers/dcnn/seed2": "silent", "train_model/flowers/dcnn/seed3": "failed"}


@pytest.mark.parametrize(
    ("locked", "written", "state"),
    [(True, "02:50:00", "running"), (True, "02:44:00", "silent"), (False, "02:50:00", "silent")],
)
def test_a_job_of_another_machine_runs_while_it_writes_and_snakemake_holds_its_lock(
    folder: Folder, locked: bool, written: str, state: str
) -> None:
    folder.log("train_model/flowers/dcnn/seed2", TRAINING, written)
    folder.write(SNAKEMAKE, PLAN, "02:55:14")
    if locked:
        folder.lock("results/flowers/runs/flowers/dcnn/seed2/SHA256SUMS")
    assert folder.states() == {"train_model/flowers/dcnn/seed2": state}


def test_what_an_earlier_run_left_unfinished_waits(folder: Folder) -> None:
    folder.log("train_model/flowers/dcnn/seed2", TRAINING, "01:00:00")
    folder.write(SNAKEMAKE, PLAN, "02:55:14")
    folder.lock("results/flowers/runs/flowers/dcnn/seed2/SHA256SUMS")
    assert folder.states() == {"train_model/flowers/dcnn/seed2": "waiting"}


def test_without_a_log_of_snakemake_what_it_planned_is_unknown(folder: Folder) -> None:
    folder.log("evaluate_runs", "2026-11-22 01:59:31,831  2 runs and 1 ensembles measured\n", "01:59:32", "01:59:33")
    status = read_status(folder.results, NOW, set())
    assert stage_rows(status) == {"evaluate": (None, 1, 0, 0, 0, None, None, False)}
    assert status_lines(status, 90) == [
        "flowers: last sign of life 01:59; no log of Snakemake is known to be of this study",
        "",
        "stage     earlier  done  running  failed  silent  left  time left",
        "evaluate        -     1        0       0       0     -          -",
    ]


def test_a_run_that_may_be_of_another_study_is_not_used(folder: Folder) -> None:
    folder.log("split_dataset/flowers", "", "02:50:00", "02:50:01")
    folder.write(SNAKEMAKE, PLAN, "02:55:14")
    assert read_status(folder.results, NOW, set()).workflow is not None
    folder.write("results/digits/logs/split_dataset/digits.log", "", "02:51:00")
    assert read_status(folder.results, NOW, set()).workflow is None
    folder.lock("results/digits/splits/digits.parquet")
    assert read_status(folder.results, NOW, set()).workflow is None
    assert read_status(folder.root / "results/digits", NOW, set()).workflow is not None


def test_results_may_be_a_link(running: tuple[Folder, set[Path]]) -> None:
    folder, _ = running
    (folder.root / "results").rename(folder.root / "elsewhere")
    (folder.root / "results").symlink_to("elsewhere")
    log = folder.root / "elsewhere/flowers/logs/train_model/flowers/dcnn/seed2.log"
    status = read_status(folder.results, NOW, {log.resolve()})
    assert status.workflow is not None and list(status.trainings) == ["train_model/flowers/dcnn/seed2"]


def test_the_newest_run_with_a_plan_is_used(folder: Folder) -> None:
    folder.log("train_model/flowers/dcnn/seed0", FINISHED, "02:47:05", "02:47:12")
    folder.write(SNAKEMAKE, PLAN, "02:55:14")
    folder.write(".snakemake/log/2026-11-22T025520.000000.snakemake.log", "Nothing to be done.\n", "02:55:21")
    folder.write(".snakemake/log/2026-11-22T010000.000000.snakemake.log", PLAN.replace("5\n", "9\n"), "02:55:21")
    workflow = read_status(folder.results, NOW, set()).workflow
    assert workflow is not None and workflow.plan.steps == 11


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell who reads from who writes")
def test_files_that_are_written_are_held_and_those_that_are_read_are_not(tmp_path: Path) -> None:
    written, read = tmp_path / "written.log", tmp_path / "read.log"
    read.touch()
    with written.open("w"), read.open():
        held = held_files()
    assert written.resolve() in held and read.resolve() not in held


# -- what is shown -------------------------------------------------------------------------------------------------------


def test_a_study_that_runs_is_shown_in_columns(running: tuple[Folder, set[Path]]) -> None:
    folder, held = running
    assert status_lines(read_status(folder.results, NOW, held), 80) == [
        "flowers: runs since 02:43 (13m), 2 of 11 steps done",
        "",
        "stage    earlier  done  running  failed  silent  left  time left",
        "prepare        1     1        0       0       0     0          -",
        "tune           0     0        1       0       0     0        41s",
        "train          1     1        1       0       0     4      > 58m",
        "figures        0     0        0       0       0     2          -",
        "",
        "training            epoch   step  best acc  best loss  time left  said",
        "flowers/dcnn/seed2   3/24  75/80    0.2701     1.8378        52m   10s",
        "",
        "search          trials  pruned  failed         best  epoch  time left  said",
        "flowers/resnet     4/8       1       0  loss 0.6585    1/6        41s   58s",
    ]


def test_a_study_that_ended_names_what_failed_and_what_it_said(folder: Folder) -> None:
    folder.log("prepare_images/flowers-7e3aebf926-64px", "", "02:43:27", "02:43:28")
    log = folder.log("train_model/flowers/dcnn/seed0", NATIVE + DIVERGED, "02:49:59")
    folder.write(SNAKEMAKE, PLAN + FAILED + END, "02:55:14")
    assert status_lines(read_status(folder.results, NOW, set()), 100, lambda path: path.name) == [
        "flowers: ended unfinished 02:55, 2 of 11 steps done",
        "",
        "stage    earlier  done  running  failed  silent  left  time left",
        "prepare        0     1        0       0       0     0          -",
        "tune           0     0        0       0       0     1          -",
        "train          0     0        0       1       0     5          -",
        "figures        0     0        0       0       0     2          -",
        "",
        "failed 02:49  train_model flowers/dcnn/seed0: training diverged in epoch 2, step 7 (loss nan); lo...",
        f"  {log.name}",
    ]


@pytest.mark.parametrize(
    ("end", "held", "locked", "now", "text"),
    [
        ("", True, True, NOW, "runs since 02:43 (13m), 2 of 11 steps done"),
        ("", False, True, NOW, "runs since 02:43, not seen on this machine, 2 of 11 steps done"),
        ("", False, True, at("03:30:00"), "no sign of life since 02:55, 2 of 11 steps done"),
        ("", False, False, NOW, "no sign of life since 02:55, 2 of 11 steps done"),
        (END, False, True, NOW, "ended unfinished 02:55, 2 of 11 steps done"),
        (
            "11 of 11 steps (100%) done\n" + END[70:],
            False,
            False,
            NOW + 86400,
            "finished 22 Nov 02:55, 11 of 11 steps done",
        ),
    ],
)
def test_the_first_line_says_whether_snakemake_runs(
    folder: Folder, end: str, held: bool, locked: bool, now: float, text: str
) -> None:
    folder.log("train_model/flowers/dcnn/seed0", FINISHED, "02:47:05", "02:47:12")
    path = folder.write(SNAKEMAKE, PLAN + end, "02:55:14")
    if locked:
        folder.lock("results/flowers/runs/flowers/dcnn/seed1/SHA256SUMS")
    status = read_status(folder.results, now, {path.resolve()} if held else set())
    assert status_lines(status, 100)[0] == f"flowers: {text}"


def test_a_job_in_no_table_is_shown_with_what_it_said_last(folder: Folder) -> None:
    said = "2026-11-22 02:02:22,711  frozen part: 53% of 15 batches, 00:27 left\n"
    log = folder.log("compute_features/flowers-7e3aebf926-128px-all-de10bc536b", NATIVE + said, "02:02:22")
    empty = folder.log("train_model/flowers/dcnn/seed0", NATIVE, "02:02:22")
    lines = status_lines(read_status(folder.results, NOW, {log.resolve(), empty.resolve()}), 200)
    assert lines[-2:] == [
        "running  compute_features flowers-7e3aebf926-128px-all-de10bc536b: frozen part: 53% of 15 batches, 00:27 left",
        "running  train_model flowers/dcnn/seed0: has said nothing",
    ]


@given(width=st.integers(1, 200))
def test_no_line_is_wider_than_the_terminal(tmp_path_factory: pytest.TempPathFactory, width: int) -> None:
    folder = Folder(tmp_path_factory.mktemp("wide"))
    name = "a_data_set_with_a_long_name/a_model_with_a_name_that_is_longer_still"
    held = {
        folder.log(f"train_model/{name}/seed0", TRAINING, "02:56:02").resolve(),
        folder.log(f"tune_model/{name}/worker0", SEARCH, "02:56:02").resolve(),
    }
    folder.log(f"train_model/{name}/seed1", DIVERGED.replace("nan", "\x1b[2J"), "02:49:59")
    folder.write(SNAKEMAKE, PLAN + FAILED, "02:55:14")
    lines = status_lines(read_status(folder.results, NOW, held), width)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_names_that_are_too_long_keep_their_ends(folder: Folder) -> None:
    log = folder.log("train_model/flowers_of_all_kinds/efficientnet_lite0_finetuned/seed12", TRAINING, "02:56:02")
    lines = status_lines(read_status(folder.results, NOW, {log.resolve()}), 80)
    row = next(line for line in lines if "/24" in line)
    assert row.startswith("flowers_o") and "ed12  " in row and len(row) == 80


# -- what others write at the same time ----------------------------------------------------------------------------------


def spoilt(data: bytes) -> Sequence[bytes]:
    """What a reader may find of a file that is being written, or was damaged."""
    return [data[: len(data) * part // 8] for part in range(8)] + [b"\xff\xfe\x00" * 9, data + b"\n\x00", data * 2]


def test_no_file_is_in_a_state_that_stops_it(running: tuple[Folder, set[Path]]) -> None:
    folder, held = running
    for path in filter(Path.is_file, sorted(folder.root.rglob("*"))):
        data, times = path.read_bytes(), (path.stat().st_atime, path.stat().st_mtime)
        for part in spoilt(data):
            path.write_bytes(part)
            os.utime(path, times)
            assert status_lines(read_status(folder.results, NOW, held), 80)
        path.unlink()
        assert status_lines(read_status(folder.results, NOW, held), 80)
        path.write_bytes(data)
        os.utime(path, times)


def test_a_file_that_goes_while_it_is_looked_for_is_passed_over(
    running: tuple[Folder, set[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, held = running
    whole = Path.read_text

    def gone(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "seed2.log":
            raise FileNotFoundError(path)
        return whole(path, *arguments, **options)

    (folder.results / "logs/train_model/flowers/dcnn/seed9.log").symlink_to("nowhere")
    monkeypatch.setattr(Path, "read_text", gone)
    status = read_status(folder.results, NOW, held)
    assert "train_model/flowers/dcnn/seed9" not in {f"{job.rule}/{job.name}" for job in status.jobs}
    assert status.trainings == {} and stage_rows(status)["train"].running == 1


def test_a_folder_without_logs_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: no folder of results with logs")):
        read_status(tmp_path, NOW, set())
    assert find_studies(tmp_path / "nowhere") == []


def test_studies_are_found_by_their_logs(folder: Folder) -> None:
    folder.log("evaluate_runs", "", "02:00:00")
    (folder.root / "results/empty").mkdir()
    (folder.root / "results/README.md").touch()
    assert find_studies(folder.root / "results") == [folder.results]
