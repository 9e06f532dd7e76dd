"""One worker: it runs each trial in a process of its own, whose memory and whose end are the trial's alone.

The process is forked from this one, which has loaded the network framework and never used it: no trial waits for imports,
and none inherits threads or devices of a framework at work. Only this process talks to the storage.
"""

import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna

from graft.errors import StoppedError, UserError
from graft.signals import Request, end_with, until_asked_to_end
from graft.tuning.search import Claimed, GivenUpError, Search
from graft.tuning.storage import BEAT, beat

log = logging.getLogger(__name__)

Report = Callable[[int, float], None]
Objective = Callable[[dict[str, Any], int, Report], float]
"""Takes the values of a trial by path, its number, and what to report (epoch, value) with, which raises ``TrialPruned``
in a trial that is to end; returns the trial's value."""

ASKED_EVERY = 1.0
"""Seconds between two looks at whether this process is asked to end."""

SAVING_SECONDS = 60
"""How long a trial that is to end may take to save its state."""


def _trial_process(
    parent: int,
    connection: Connection,
    other_end: Connection,
    objective: Objective,
    values: dict[str, Any],
    number: int,
) -> None:
    """What the process of a trial does: it sends ``("epoch", epoch, value)`` and is told whether to end for it, and last
    ``(what became of it, value or text)``."""
    other_end.close()
    end_with(parent)
    for asked in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(asked, signal.SIG_DFL)
    with suppress(OSError):  # where memory runs out, the trial is to die, not its worker
        Path("/proc/self/oom_score_adj").write_text("1000")

    def report(epoch: int, value: float) -> None:
        connection.send(("epoch", epoch, value))
        if connection.recv():
            raise optuna.TrialPruned

    try:
        connection.send(("complete", objective(values, number, report)))
    except optuna.TrialPruned as error:
        connection.send(("pruned", str(error)))
    except StoppedError as error:
        connection.send(("stopped", str(error)))
    except UserError as error:
        connection.send(("failed", str(error)))
    except Exception as error:
        traceback.print_exc()
        connection.send(("failed", f"{type(error).__name__}: {error}"))


def _ended(process: Any) -> str:
    """How a process ended that said nothing of it."""
    process.join()
    if process.exitcode >= 0:
        return f"its process ended with code {process.exitcode}"
    name = signal.Signals(-process.exitcode).name
    return f"its process was ended by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _run_trial(search: Search, claimed: Claimed, objective: Objective, request: Request) -> tuple[str, Any]:
    """What became of a trial: ``complete`` with its value, or ``pruned``, ``stopped`` or ``failed`` with a text."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_trial_process, args=(os.getpid(), theirs, ours, objective, claimed.values, claimed.trial.number)
    )
    process.start()
    theirs.close()
    last = time.monotonic()
    try:
        while True:
            if request.name:
                process.terminate()  # which a training notes, and saves
            if time.monotonic() - last > BEAT:
                last = time.monotonic()
                beat(claimed.trial)
            try:
                if not ours.poll(ASKED_EVERY):
                    continue
                kind, *said = ours.recv()
            except (EOFError, OSError):
                kind, said = "failed", [_ended(process)]
            if kind == "epoch":
                prune = search.report(claimed.trial, *said)
                with suppress(OSError):  # the process has ended meanwhile, as the next look at it will tell
                    ours.send(prune)
            elif request.name and kind in ("stopped", "failed"):
                return "stopped", f"stopped by {request.name}; run snakemake again to go on from there"
            elif kind == "stopped":  # not by this worker: something else ended the process of the trial
                return "failed", said[0]
            else:
                return kind, *said
    finally:
        process.terminate()
        process.join(SAVING_SECONDS)
        process.kill()
        process.join()
        ours.close()


def work(search: Search, objective: Objective, after: Callable[[int, str], None] = lambda number, became: None) -> None:
    """Run trials of a search until none is left for this worker, or ``timeout`` seconds have passed.

    ``after`` is called with the number of each trial and what became of it: ``complete``, ``pruned`` or ``failed``.

    Raises:
        UserError: too many trials failed, or the process was asked to end.
    """
    start, timeout = time.monotonic(), search.tune.get("timeout")
    with until_asked_to_end() as request:
        search.stops = lambda: request.name is not None
        while timeout is None or time.monotonic() - start < timeout:
            try:
                claimed = search.claim()
                if request.name:
                    raise UserError(f"stopped by {request.name}; run snakemake again to go on from there")
                if claimed is None:
                    return
                became, said = _run_trial(search, claimed, objective, request)
                if became == "stopped":
                    search.leave(claimed.trial)
                    raise UserError(said)
                if became == "complete":
                    search.complete(claimed.trial, said)
                elif became == "pruned":
                    search.prune(claimed.trial)
                else:
                    search.fail(claimed.trial, said)
            except GivenUpError:
                log.info("a trial has come to its end otherwise, for this worker was silent")
                continue
            after(claimed.trial.number, became)
        log.info("the time that tune.timeout gives is over")
