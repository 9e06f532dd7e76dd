"""The word that a misspelt one most likely stands for."""

import difflib
from collections.abc import Iterable


def closest(word: object, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one most likely stands for."""
    return next(iter(difflib.get_close_matches(str(word), [str(name) for name in known], n=1, cutoff=0.6)), None)


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of an error message: the known word that comes closest, or all of them."""
    known = [str(name) for name in known]
    close = closest(word, known)
    if close:
        return f"; did you mean {close!r}?"
    return f"; allowed: {', '.join(known)}" if known else "; there are none"
