"""Progress of long work: a line now and then instead of a bar, for a terminal that many jobs share."""

from collections.abc import Callable
from typing import Any


class _Lines:
    """The file that a progress bar writes to: says what the bar shows."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def write(self, text: str) -> None:
        if text.strip():
            self.say(text.strip())

    def flush(self) -> None:
        pass


def lines(say: Callable[[str], None], every: float, **options: Any) -> Any:
    """A tqdm bar of these options that says a line, at most once in ``every`` seconds; short work says none."""
    from tqdm import tqdm

    return tqdm(file=_Lines(say), delay=every, mininterval=every, miniters=1, smoothing=0, leave=False, **options)
