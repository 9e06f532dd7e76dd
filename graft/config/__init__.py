"""What a study may say: the one place that knows its keys, checks them, and names what is wrong.

The rules read the typed :class:`Study`; scripts get plain values through ``params`` and never import this package. A new
optional key has the default ``None``, which the values handed to jobs leave out: that makes no finished result stale.
"""

from graft.config.study import Run, Study

__all__ = ["Run", "Study"]
