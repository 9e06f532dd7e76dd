"""What every script of the workflow does around its own work: a log, a quiet terminal, errors in one line."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from graft.errors import UserError


def _is_full_disk(error: Exception) -> bool:
    # HDF5 has its own errors, with the words of the system's.
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


@contextmanager
def job(snakemake: Any) -> Iterator[Callable[[str], None]]:
    """Send all output of the block, of native libraries too, to the job's log; yields a function that prints a line.

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
