"""What is known of a published file: its name, where it is, and the digests that prove it."""

from typing import NamedTuple


class Remote(NamedTuple):
    """A published file: its name, http or https ``addresses`` of the file itself, and what it must be.

    ``sha256`` are the digests that are accepted, the published one first; without any, a file of that name is taken as
    it is. ``size`` is the published one, in bytes; ``md5`` stands in for ``sha256`` where no other digest is published.
    """

    name: str
    addresses: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    size: int | None = None
    md5: str = ""

    def with_sha256(self, sha256: str | None) -> "Remote":
        """This file, or if another digest is given, another file of this name, which only mirrors may have."""
        return self if sha256 is None or sha256 in self.sha256 else Remote(self.name, sha256=(sha256,))
