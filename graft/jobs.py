"""What every script of the workflow does around its own work: a log, a quiet terminal, errors in one line."""

import errno
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from graft.errors import UserError

SHOWN_EVERY = 60.0
"""Seconds between two lines of a job's progress in the terminal."""


def _is_full_disk(error: Exception) -> bool:
    # HDF5 has its own errors, with the words of the system's.
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


class _Now(logging.Handler):
    """Says what the library logs of its progress, at most once in so many seconds."""

    def __init__(self, say: Callable[[str], None], every: float) -> None:
        super().__init__()
        self.say, self.every, self.last = say, every, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            self.say(record.getMessage())


@contextmanager
def job(snakemake: Any) -> Iterator[Callable[[str], None]]:
    """Send all output of the block, of native libraries too, to the job's log; yields a function that prints a line.

    What the library logs meanwhile, such as the epochs of a training, is in the terminal once a minute.

    A :class:`~graft.errors.UserError` ends the job with its text alone; of any other error the terminal names the log,
    which holds the traceback.
    """
    name = " ".join([snakemake.rule, *(str(value) for value in snakemake.wildcards)])
    terminal = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")
    path = snakemake.log[0]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(descriptor, number)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", stream=sys.stderr)

    def say(line: str) -> None:
        logging.info("%s", line)
        print(f"{name}: {line}", file=terminal)

    logging.getLogger("graft").addHandler(_Now(lambda line: print(f"{name}: {line}", file=terminal), SHOWN_EVERY))
    try:
        yield say
    except UserError as error:
        say(str(error))
        raise SystemExit(1) from None
    except Exception as error:
        traceback.print_exc()
        if _is_full_disk(error):
            say("the disk is full; free some of it and run snakemake again, which goes on from what is finished")
            raise SystemExit(1) from None
        say(f"failed with {type(error).__name__}: {error}; the traceback is in {path}")
        raise SystemExit(1) from None
