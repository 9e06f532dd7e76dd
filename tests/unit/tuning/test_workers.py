"""Workers are processes of their own here, and are killed for real."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from graft.tuning.outcome import finished_trials
from graft.tuning.storage import open_storage

PROGRAM = Path(__file__).with_name("search_worker.py")
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def start(
    folder: Path, storage: str, workers: int, worker: int, trials: int, seconds: float = 0.03
) -> subprocess.Popen[bytes]:
    arguments = map(str, (folder, storage, workers, worker, trials, seconds))
    return subprocess.Popen([sys.executable, PROGRAM, *arguments], stderr=subprocess.PIPE)


def trials_of(folder: Path, storage: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name="bowl", storage=open_storage(storage, folder)).get_trials(deepcopy=False)


def run(folder: Path, storage: str, workers: int, trials: int, kills: int, seconds: float = 0.03) -> list[FrozenTrial]:
    """Run workers, kill one of them or all at random moments once trials have begun, and start them again until all are
    done."""
    chance = random.Random(0)
    running = {worker: start(folder, storage, workers, worker, trials, seconds) for worker in range(workers)}
    started, deadline = time.monotonic(), time.monotonic() + 400
    killed = 0
    while running and time.monotonic() < deadline:
        time.sleep(0.05)
        for worker, process in list(running.items()):
            if process.poll() == 0:
                del running[worker]
            elif process.returncode is not None:
                said = process.stderr.read().decode() if process.stderr else ""
                assert process.returncode == -signal.SIGKILL, said
                running[worker] = start(folder, storage, workers, worker, trials, seconds)
        if killed < kills and running and time.monotonic() - started > 3 + 0.7 * killed + chance.random():
            for process in chance.choice([[chance.choice(list(running.values()))], list(running.values())]):
                process.kill()
            killed += 1
    for process in running.values():
        process.kill()
    assert not running
    assert killed == kills
    return trials_of(folder, storage)


def assert_exactly(trials: list[FrozenTrial], count: int) -> None:
    states = Counter(trial.state for trial in trials)
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == count
    assert not states[TrialState.RUNNING]
    assert not states[TrialState.WAITING]
    finished = finished_trials(trials, count)
    assert len({trial.number for trial in finished}) == count
    assert all(trial.state is TrialState.PRUNED or len(trial.intermediate_values) == 3 for trial in finished)


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_three_workers_that_are_killed_finish_exactly_the_trials_asked_for(storage: str, tmp_path: Path) -> None:
    trials = run(tmp_path, storage, workers=3, trials=60, kills=6, seconds=0.15)
    assert_exactly(trials, 60)
    # The trial whose process ended itself, if its worker lived to see it, was tried again with the same parameters.
    failures = [trial for trial in trials if "SIGKILL" in trial.user_attrs.get("error", "")]
    assert len(failures) <= 1
    for failed in failures:
        tries = [trial for trial in trials if trial.user_attrs.get("again") == failed.number]
        (again,) = [trial for trial in tries if "surplus" not in trial.user_attrs]
        assert again.params == failed.params
        assert failed.state is TrialState.FAIL


def test_a_process_of_a_trial_that_is_asked_to_end_is_a_failed_trial(tmp_path: Path) -> None:
    worker = start(tmp_path, "sqlite", 1, 0, 2, seconds=2)
    for asked in (signal.SIGTERM, signal.SIGKILL):
        trial = child_of(worker)
        trial.send_signal(asked)
        trial.wait(20)
    assert worker.wait(60) == 0
    trials = trials_of(tmp_path, "sqlite")
    assert_exactly(trials, 2)
    errors = [trial.user_attrs["error"] for trial in trials if trial.state is TrialState.FAIL]
    assert errors == ["its process was ended by SIGTERM", "its process was ended by SIGKILL, as when memory runs out"]


def table(trials: list[FrozenTrial], count: int) -> list[tuple[object, ...]]:
    """All that a trial is, but for its times."""
    return [
        (trial.number, trial.state, trial.values, trial.params, trial.intermediate_values)
        for trial in finished_trials(trials, count)
    ]


def test_one_worker_that_is_killed_ends_with_the_bits_of_one_that_was_not(tmp_path: Path) -> None:
    for name in ("killed", "undisturbed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seven").touch()
    killed = run(tmp_path / "killed", "sqlite", workers=1, trials=30, kills=4, seconds=0.1)
    undisturbed = run(tmp_path / "undisturbed", "sqlite", workers=1, trials=30, kills=0, seconds=0)
    assert table(killed, 30) == table(undisturbed, 30)
    assert len(killed) == len(undisturbed) == 30  # each trial that was cut short was taken up, not made up for


def child_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """The process of the trial that a worker is at."""
    deadline = time.monotonic() + 90
    while not (children := psutil.Process(worker.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)  # until it is at its own work
    return children[0]


def test_a_trial_ends_soon_after_its_worker(tmp_path: Path) -> None:
    worker = start(tmp_path, "sqlite", 1, 0, 5, seconds=60)
    trial = child_of(worker)
    worker.kill()
    worker.wait()
    with suppress(psutil.NoSuchProcess):
        trial.wait(10)
    assert not trial.is_running()


def test_a_worker_that_is_asked_to_end_says_so_and_leaves_its_trial_to_be_taken_up(tmp_path: Path) -> None:
    worker = start(tmp_path, "sqlite", 1, 0, 2, seconds=60)
    child_of(worker)
    worker.terminate()
    _, said = worker.communicate(timeout=20)
    assert b"stopped by SIGTERM" in said
    assert [trial.state for trial in trials_of(tmp_path, "sqlite")] == [TrialState.RUNNING]
    assert_exactly(run(tmp_path, "sqlite", workers=1, trials=2, kills=0), 2)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A server of databases of its own, which listens to this machine alone; its user may not be root."""
    programs = POSTGRESQL[-1].parent
    (folder / "data").mkdir()
    become: list[str] = []
    if os.getuid() == 0:
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder / "data", "postgres", "postgres")
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o001)
    run_it = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run([*become, programs / "initdb", "--auth=trust", "--username=graft", folder / "data"], **run_it)
    port = 20_000 + os.getpid() % 10_000
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = [*become, programs / "pg_ctl", "-D", folder / "data", "-w"]
    subprocess.run([*control, "-l", folder / "data/log", "-o", options, "start"], **run_it)
    try:
        yield f"postgresql://graft@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run_it)


@pytest.mark.skipif(not POSTGRESQL, reason="needs PostgreSQL (Debian's package postgresql)")
def test_workers_share_a_database_server(tmp_path: Path) -> None:
    with postgresql(tmp_path) as storage:
        assert_exactly(run(tmp_path, storage, workers=3, trials=40, kills=3, seconds=0.15), 40)


PROXY = """
import sys
from pathlib import Path
from optuna.storages import run_grpc_proxy_server
from graft.tuning.storage import open_storage
run_grpc_proxy_server(open_storage("sqlite", Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]))
"""


def test_workers_share_a_proxy(tmp_path: Path) -> None:
    port = str(30_000 + os.getpid() % 10_000)
    command = [sys.executable, "-c", PROXY, str(tmp_path), port]
    with subprocess.Popen(command, cwd=PROGRAM.parents[3], stderr=subprocess.DEVNULL) as proxy:
        try:
            address = f"grpc://127.0.0.1:{port}"
            assert_exactly(run(tmp_path, address, workers=2, trials=20, kills=2, seconds=0.15), 20)
        finally:
            proxy.kill()
