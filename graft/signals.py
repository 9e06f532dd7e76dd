"""When a process is to end: it is asked to, or its parent has gone."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Request:
    """The signal that asked this process to end, if one did."""

    name: str | None = None


@contextmanager
def until_asked_to_end() -> Iterator[Request]:
    """Notes SIGTERM and SIGUSR1, which schedulers send ahead of a limit, instead of dying of them."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, _: Any) -> None:
        request.name = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed and would leave it waiting for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
