"""Puts published files into a raw folder: from there, from mirrors or from the network; verified before they are used."""

import glob
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from graft.errors import UserError
from graft.files import replacing, sha256
from graft.progress import lines
from graft.sources.remote import Remote

MIRROR = "GRAFT_MIRROR"
TEMPORARY = ".downloading"
RETRIES = 3
TIMEOUT = (10, 30)  # seconds to connect, and without a byte
CHUNK = 2**16  # bytes
LINE_EVERY = 10  # seconds
LARGEST = 2**40  # bytes, of a file whose size is not known


class _PlaceError(Exception):
    """A place does not give the file; the text says why."""


class _DigestError(ValueError):
    """A place gives another file; a ValueError, because that is what pooch retries."""


def mirrors_from(named: Sequence[str]) -> list[str]:
    """The folders and addresses that the environment variable GRAFT_MIRROR lists, by commas, and then ``named``."""
    entries = (entry.strip() for entry in [*os.environ.get(MIRROR, "").split(","), *named])
    # A Path would make another address of an address.
    return list(dict.fromkeys(os.path.expanduser(entry) for entry in entries if entry))  # noqa: PTH111


class Downloads:
    """Puts files into the folder ``raw``, from the first of ``mirrors`` that has them, else from where they come from.

    A mirror is a folder, or an http or https address to which the file's name is added; ``say`` prints a line. A file
    whose digest is known may also come from the raw folder of another data set, which lies beside that of this one.
    """

    def __init__(self, raw: Path, mirrors: Sequence[str] = (), say: Callable[[str], None] = print) -> None:
        self.raw = raw
        self.mirrors = list(mirrors)
        self.say = say

    def get(self, remote: Remote) -> Path:
        """The path of the file in ``raw``, once it is there and has an accepted digest.

        Raises:
            UserError: no place has it, which the text lists with the reasons, or it cannot be written.
        """
        path = self.raw / remote.name
        tried: list[str] = []
        try:
            self.raw.mkdir(parents=True, exist_ok=True)
            self._empty()  # a killed download leaves its part there
            for place, attempt in self._attempts(remote, path):
                try:
                    attempt()
                    return path
                except (_PlaceError, _DigestError) as problem:
                    tried.append(f"{place}: {problem}")
                    if isinstance(problem, _DigestError):
                        self.say(f"{place}: passed over: {problem}")
        except OSError as error:
            raise UserError(f"{error.filename or path}: {error.strerror or error}") from error
        finally:
            self._empty()
        raise UserError(_found_nowhere(remote, path, tried))

    def _empty(self) -> None:
        shutil.rmtree(self.raw / TEMPORARY, ignore_errors=True)

    def _attempts(self, remote: Remote, path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
        """Every place that may have the file, and what takes it from there to ``path`` or raises why it cannot."""
        if path.is_file():
            yield str(path), partial(_verify, path, remote)
        if remote.sha256:  # other preparations of a data set, and other data sets, may have it
            for other in sorted(self.raw.parent.parent.glob(f"*/{self.raw.name}/{glob.escape(remote.name)}")):
                if other != path:
                    yield str(other), partial(self._copy, other, remote, path)
        for mirror in self.mirrors:
            if "://" in mirror:
                address = f"{mirror.rstrip('/')}/{quote(remote.name)}"
                yield address, partial(self._download, address, remote, path)
            else:
                file = Path(mirror) / remote.name
                yield str(file), partial(self._copy, file, remote, path)
        for address in remote.addresses:
            yield address, partial(self._download, address, remote, path)

    def _copy(self, file: Path, remote: Remote, path: Path) -> None:
        try:
            if not file.is_file():
                raise _PlaceError("not there" if file.parent.is_dir() else "no such folder")
            self._check_space(path, file.stat().st_size)
            with replacing(path) as beside:
                shutil.copyfile(file, beside)
                _verify(beside, remote)
        except OSError as error:
            raise _PlaceError(f"cannot be copied ({error.strerror})") from error
        self.say(f"{remote.name}: copied from {file.parent}")

    def _download(self, address: str, remote: Remote, path: Path) -> None:
        import pooch

        if not re.match("https?://", address, re.IGNORECASE):
            raise _PlaceError("neither a folder nor an http or https address")
        self._check_space(path, remote.size or 0)
        pooch.get_logger().setLevel("ERROR")
        folder = pooch.create(
            self.raw / TEMPORARY,
            base_url="",
            registry={remote.name: None},  # pooch knows one digest for a file; here there may be several
            urls={remote.name: address},
            retry_if_failed=RETRIES,
        )
        try:
            fetched = folder.fetch(remote.name, downloader=partial(_transfer, remote, self.say))
        except _DigestError:
            raise
        except (OSError, ValueError) as error:
            raise _PlaceError(_reason(error)) from error
        Path(fetched).replace(path)

    def _check_space(self, path: Path, size: int) -> None:
        free = shutil.disk_usage(self.raw).free
        if size > free:
            raise UserError(f"{path}: needs {size:,} bytes, and its disk has {free:,} left; make room and run again")


def _verify(file: Path, remote: Remote) -> None:
    digest = sha256(file)
    if remote.sha256 and digest not in remote.sha256:
        raise _DigestError(f"its sha256 is {digest}, not {' or '.join(remote.sha256)}")
    if remote.md5:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "md5").hexdigest()
        if found != remote.md5:
            raise _DigestError(f"its MD5 is {found}, not {remote.md5}")


def _found_nowhere(remote: Remote, path: Path, tried: list[str]) -> str:
    size = [f"{remote.size:,} bytes"] if remote.size else []
    facts = ", ".join(
        [*size, *(f"sha256 {digest}" for digest in remote.sha256[:1]), *([f"MD5 {remote.md5}"] if remote.md5 else [])]
    )
    put = f"put it at {path}, or into a folder that the study names under mirror: or the variable {MIRROR} names"
    first = f"{remote.name}{f' ({facts})' if facts else ''}: found nowhere; {put}"
    return "\n  ".join([f"{first}; tried:" if tried else first, *tried])


# -- one attempt over HTTP -----------------------------------------------------------------------------------------------


class _Bounded:
    """The file that pooch writes to: moves the bar on, and stops a server that sends too much."""

    def __init__(self, file: BinaryIO, limit: int, bar: Any) -> None:
        self.file, self.limit, self.bar = file, limit, bar
        self.flush = file.flush

    def write(self, data: bytes) -> None:
        if self.file.tell() + len(data) > self.limit:
            raise _PlaceError(f"sends more than {self.limit:,} bytes")
        self.file.write(data)
        self.bar.update(len(data))


def _transfer(remote: Remote, say: Callable[[str], None], address: str, path: str, pooch: Any) -> None:
    """What pooch calls for each attempt; it retries after a ValueError or a RequestException, and after no other."""
    import requests
    from pooch import HTTPDownloader
    from requests.exceptions import ChunkedEncodingError
    from urllib3.exceptions import MaxRetryError

    file = Path(path)
    file.unlink()  # pooch made it for its owner's eyes only
    limit = LARGEST if remote.size is None else int(remote.size * 1.1) + 10**6
    with (
        lines(say, LINE_EVERY, desc=remote.name, unit="B", unit_scale=True) as bar,
        file.open("wb") as stream,
    ):
        fetch = HTTPDownloader(
            chunk_size=CHUNK,
            timeout=TIMEOUT,
            headers={"Accept-Encoding": "identity"},
            hooks={"response": partial(_opened, bar, remote.size)},
        )
        try:
            fetch(address, _Bounded(stream, limit, bar), pooch)
        except (requests.HTTPError, requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
            if any(isinstance(cause, MaxRetryError) for cause in error.args):  # no connection was made
                raise _PlaceError(f"no connection ({_reason(error)})") from error
            raise
        except requests.RequestException as error:
            raise _PlaceError(_reason(error)) from error
        bar.refresh()
    _verify(file, remote)


def _opened(bar: Any, size: int | None, response: Any, **_: Any) -> None:
    """What requests calls for each response, redirects too, before it reads the body."""
    import requests

    if response.is_redirect:
        response.close()  # requests would read all of its body into memory
        return
    if response.status_code == 429 or response.status_code >= 500:
        raise requests.HTTPError(f"HTTP {response.status_code}")
    if response.status_code != 200:
        raise _PlaceError(f"HTTP {response.status_code}")
    response.raw.headers.pop("Content-Encoding", None)  # the bytes as they are stored, even if a .gz is called encoded
    bar.total = response.raw.length_remaining or size
    bar.bar_format = "{desc}: {percentage:.0f}% of {total_fmt}B" if bar.total else "{desc}: {n_fmt}B"
    bar.bar_format += ", {rate_noinv_fmt}"


def _reason(error: BaseException) -> str:
    """What went wrong, in the words of the innermost error; a server may have chosen them."""
    wrapped = (cause for cause in (error.__cause__, *error.args) if isinstance(cause, BaseException))
    if inner := next(wrapped, None):
        return _reason(inner)
    words = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return "".join(filter(str.isprintable, words))[:200] or type(error).__name__
