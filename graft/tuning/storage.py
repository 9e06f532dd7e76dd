"""Where the trials of a search are: a SQLite file, a server of databases, Optuna's gRPC proxy, or a journal."""

import os
import secrets
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from graft.errors import UserError

BEAT = 60
"""Seconds between two signs of life of a trial."""

GRACE = 3 * BEAT
"""Seconds without one after which the trial's worker counts as dead."""

DRIVERS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}
OPENING_SECONDS = 30
"""How long workers that begin at once may get into each other's way while tables are made."""


def _database(url: str, **options: Any) -> BaseStorage:
    return optuna.storages.get_storage(
        RDBStorage(url, engine_kwargs=options, heartbeat_interval=BEAT, grace_period=GRACE)
    )


def _until_it_opens(open_it: Callable[[], BaseStorage]) -> BaseStorage:
    deadline = time.monotonic() + OPENING_SECONDS
    while True:
        try:
            return open_it()
        except SQLAlchemyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _server(address: str) -> BaseStorage:
    scheme, rest = address.split("://", 1)
    driver, extra = DRIVERS[scheme]
    try:
        return _until_it_opens(lambda: _database(f"{scheme}+{driver}://{rest}", pool_pre_ping=True))
    except ImportError as error:
        remedy = f"pip install {driver}, or pip install -e '.[{extra}]' in the project's folder"
        raise UserError(f"tune.storage: {address} needs a package that is not installed ({error}); {remedy}") from error
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"tune.storage: {address} cannot be opened ({reason}); is its server running?") from error


def _proxy(address: str) -> BaseStorage:
    place = urlsplit(address)
    storage = GrpcStorageProxy(host=place.hostname or "localhost", port=place.port or 13000)
    try:
        storage.wait_server_ready(timeout=OPENING_SECONDS)
    except Exception as error:  # gRPC has errors of its own
        raise UserError(f"tune.storage: no Optuna proxy answers at {address}; start it (docs/study.md)") from error
    return storage


def open_storage(address: str, folder: Path) -> BaseStorage:
    """The storage that ``address`` means: ``sqlite`` and ``journal`` are files in ``folder``.

    Raises:
        UserError: it cannot be opened.
    """
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if address == "sqlite":
            with FileLock(folder / "optuna.lock"):
                return _database(f"sqlite:///{folder / 'optuna.db'}", connect_args={"timeout": 300})
        if address == "journal":
            return JournalStorage(JournalFileBackend(str(folder.resolve() / "optuna.journal")))
        return _proxy(address) if address.startswith("grpc://") else _server(address)


# -- signs of life -------------------------------------------------------------------------------------------------------


def beat(trial: optuna.Trial) -> None:
    """Say that the trial's worker lives: by the clock of a database, or else by that of this machine."""
    storage = trial.storage
    if isinstance(storage, optuna.storages._heartbeat.BaseHeartbeat):
        storage.record_heartbeat(trial._trial_id)
    else:
        trial.set_user_attr("beat", time.time())


def is_stale(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a running trial has not given a sign of life for so long that its worker must be dead."""
    storage = study._storage
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    if isinstance(storage, optuna.storages._heartbeat.BaseHeartbeat):
        if trial._trial_id in storage._get_stale_trial_ids(study._study_id):
            return True
        last = time.time() if "values" in trial.user_attrs else begun  # it has given its first sign, or died before
    else:
        last = max(trial.user_attrs.get("beat", begun), begun)
    return time.time() - last > GRACE


# -- names ---------------------------------------------------------------------------------------------------------------


def name_in(address: str, name: str, folder: Path) -> str:
    """The name of a search in its storage: on a server, beside those of other studies and of other copies of this one, it
    has a word that is kept in ``folder`` behind it."""
    if address in ("sqlite", "journal"):
        return name
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / "name", folder / f".{secrets.token_hex(8)}.name"
    if not path.exists():
        beside.write_text(secrets.token_hex(8))
        with suppress(FileExistsError):
            os.link(beside, path)  # whole, and the first one's
        beside.unlink()
    return f"{name}-{path.read_text()}"
