import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileSymlinkLock

import graft.tuning.storage
from graft.errors import UserError
from graft.tuning.storage import beat, is_stale, name_in, open_storage


@pytest.mark.parametrize("address", ["sqlite", "journal"])
def test_a_trial_without_signs_of_life_is_stale(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graft.tuning.storage, "GRACE", 1)
    storage = open_storage(address, tmp_path)
    study = optuna.create_study(storage=storage)
    with pytest.warns(UserWarning) if address == "sqlite" else nullcontext():
        trials = [study.ask() for _ in range(2)]
    for trial in trials:
        trial.set_user_attr("values", {})
        beat(trial)
    assert not any(is_stale(study, trial) for trial in study.trials)
    deadline = time.monotonic() + 10
    while not is_stale(study, study.trials[1]) and time.monotonic() < deadline:
        time.sleep(0.2)
        beat(trials[0])
    assert [is_stale(study, trial) for trial in study.trials] == [False, True]


def test_a_trial_whose_worker_died_before_its_first_sign_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.tuning.storage, "GRACE", 0.1)
    study = optuna.create_study(storage=open_storage("sqlite", tmp_path))
    with pytest.warns(UserWarning):
        study.ask()
    time.sleep(0.2)
    assert is_stale(study, study.trials[0])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://graft@127.0.0.1:1/none", "cannot be opened (connection"),
        ("mysql://graft@127.0.0.1:1/none", "pip install -e '.[mysql]'"),
        ("grpc://127.0.0.1:1", "no Optuna proxy answers at grpc://127.0.0.1:1"),
    ],
)
def test_a_storage_that_does_not_open_is_named(
    address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.tuning.storage, "OPENING_SECONDS", 0.5)
    with pytest.raises(UserError) as error:
        open_storage(address, tmp_path)
    assert str(error.value).startswith("tune.storage: ")
    assert address in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    def open_it(_: int) -> Any:
        return open_storage("sqlite", tmp_path / "new").get_all_studies()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(open_it, range(8))) == [[]] * 8


def test_a_journal_is_opened_after_a_worker_died_with_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("a/relative/one")
    study = optuna.create_study(storage=open_storage("journal", folder))
    lock = folder / "optuna.journal.lock"
    lock.symlink_to((folder / "optuna.journal").resolve())  # as the journal's lock is one
    monkeypatch.setattr(JournalFileSymlinkLock.__init__, "__defaults__", (1,))  # seconds until it is broken
    storage = open_storage("journal", folder)
    assert len(optuna.load_study(study_name=study.study_name, storage=storage).get_trials()) == 0
    optuna.load_study(study_name=study.study_name, storage=storage).ask()
    assert not lock.is_symlink()


def test_names_on_a_server_are_those_of_one_copy_of_a_project(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: name_in("postgresql://db/trials", "s", tmp_path / "one"), range(32)))
    assert len(names) == 1
    assert names != {name_in("postgresql://db/trials", "s", tmp_path / "other")}
    assert name_in("sqlite", "s", tmp_path / "third") == "s"
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["name"]
