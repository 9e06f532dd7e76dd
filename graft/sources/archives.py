"""Reads the files in a tar or zip archive, one at a time and in memory; nothing is ever extracted.

An archive may come from anywhere, so what a careless extraction would do harm with is refused, and what it unpacks to
is counted as it comes out, whatever its headers claim. Formats: POSIX.1-2017, `pax`, "ustar Interchange Format" and
"pax Header Block"; GNU tar manual, appendix D; PKWARE's APPNOTE.TXT 6.3.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from graft.errors import UserError

MEMBERS = 5_000_000
MEMBER_BYTES = 2**30
TOTAL_BYTES = 2**30  # or as many times the archive's size:
TOTAL_RATIO = 200
HEADER_BYTES = 2**20
NAME_LENGTH = 4096
XZ_MEMORY = 2**28  # bytes; xz -9 needs 65 MiB
CHUNK = 2**18
LOCAL_HEADER = 30  # bytes of a zip's header before each member, less its name

KINDS = "tar, tar.gz, tar.xz, tar.bz2 or zip"
JUNK = {"__macosx", "thumbs.db", "desktop.ini"}
NAMED_HEADERS = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
PAX_HEADERS = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
PAX_KEYWORDS = {"path", "linkpath", "size", "GNU.sparse.major", "GNU.sparse.size"}
LINK = "is a link, and links in an archive are not followed; pack the file itself in its place"


class Member(NamedTuple):
    """A file in an archive: its name there, without a leading "./", and its bytes if it was wanted.

    A ``fault`` says why there are none of a wanted one. Names can be encoded as UTF-8; a backslash in one starts the
    escape of a byte that was not (``\\xfc``), for names with a backslash of their own are refused.
    """

    name: str
    data: bytes
    fault: str = ""


class _RefusedError(Exception):
    """Says what in an archive is refused."""


# -- names and links -----------------------------------------------------------------------------------------------------


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _leads_out(path: str, folders: int) -> bool:
    """Whether a path can leave the archive when it starts so many folders below its top."""
    parts = _parts(path)
    up = next((count for count, part in enumerate(parts) if part != ".."), len(parts))
    if path.startswith("/") or re.match(r"[A-Za-z]:", "/".join(parts)) or "\\" in path:
        return True
    return up > folders or ".." in parts[up:]  # past a folder that is a link itself, ".." leads anywhere


def _clean(name: str) -> str:
    if "\0" in name or len(name) > NAME_LENGTH:
        raise _RefusedError(f"{name[:100]!r}: its name is longer than {NAME_LENGTH} characters or contains NUL")
    if _leads_out(name, 0):
        raise _RefusedError(f"{name!r}: its name leads out of the archive, or has a backslash")
    return "/".join(_parts(name)).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_junk(name: str) -> bool:
    """Whether a path is hidden, or what macOS or Windows leave beside one's own files."""
    return any(part.startswith(".") or part.lower() in JUNK for part in name.split("/"))


class _Links:
    """The links met so far, none of which leads out of the archive or has members below it."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str, target: str, folders: int) -> Member:
        if _leads_out(target, folders):
            raise _RefusedError(f"{name!r}: a link that may lead out of the archive, to {target[:NAME_LENGTH]!r}")
        self._names.add(name)
        return Member(name, b"", LINK)

    def check(self, name: str) -> None:
        ends = (found.start() for found in re.finditer("/", name)) if self._names else ()
        if link := next((name[:end] for end in ends if name[:end] in self._names), None):
            raise _RefusedError(f"{name!r}: lies below {link!r}, which is a link")


# -- bytes, counted ------------------------------------------------------------------------------------------------------


def _joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    # Not b"".join, which holds all of them twice.
    data = io.BytesIO()
    for piece in pieces:
        data.write(piece)
    return data.getvalue()


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    return iter(lambda: read(CHUNK), b"")


class _Total:
    """Counts the bytes that come out of an archive, up to a limit."""

    def __init__(self, archive_bytes: int) -> None:
        self._left = self._limit = max(TOTAL_BYTES, TOTAL_RATIO * archive_bytes)

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._left -= len(chunk)
            if self._left < 0:
                raise _RefusedError(f"unpacks to more than {self._limit:,} bytes, the most for an archive of its size")
            yield chunk


# -- tar -----------------------------------------------------------------------------------------------------------------


def _xz_chunks(file: BinaryIO) -> Iterator[bytes]:
    # lzma.open() has no limit to the memory that a header may claim.
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    for data in _chunks(file.read):
        while data := data.lstrip(b"\0") if decoder.eof else data:  # between two streams there may be zeros
            if decoder.eof:
                decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
            yield decoder.decompress(data, CHUNK)
            while not (decoder.needs_input or decoder.eof):
                yield decoder.decompress(b"", CHUNK)
            data = decoder.unused_data
    if not decoder.eof:
        raise EOFError("it ends in the middle")


UNPACK: dict[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {
    b"\x1f\x8b": lambda file: _chunks(gzip.GzipFile(fileobj=file).read),
    b"BZh": lambda file: _chunks(bz2.BZ2File(file).read),
    b"\xfd7zXZ\0": _xz_chunks,
}


class _Unpacked:
    """What comes out of a compressed tar, from front to end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")

    def _take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._chunk:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise EOFError("it ends in the middle")
                self._chunk = memoryview(chunk)
            piece, self._chunk = self._chunk[:size], self._chunk[size:]
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        return _joined(self._take(size))

    def skip(self, size: int) -> None:
        """Go past ``size`` bytes."""
        for _ in self._take(size):
            pass

    def finish(self) -> None:
        """Go to the end, which proves the checksum of what was compressed."""
        for _ in self._chunks:
            pass


def _pax_records(payload: bytes) -> Iterator[tuple[str, str]]:
    """Keywords and values of records ``<length> <keyword>=<value>\\n``, the length being that of the whole record."""
    start = 0
    while start < len(payload):
        space = payload.index(b" ", start, start + 10)
        end = start + int(payload[start:space])
        keyword, equals, value = payload[space + 1 : end - 1].partition(b"=")
        if end <= space or payload[end - 1 : end] != b"\n" or not equals:
            raise ValueError("a pax header is damaged")
        yield keyword.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        start = end


def _header(stream: _Unpacked) -> tarfile.TarInfo | None:
    block = stream.read(tarfile.BLOCKSIZE)
    if not any(block):
        return None
    header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if header.size < 0:
        raise ValueError("a size is negative")
    return header


def _tar_headers(stream: _Unpacked) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar, with the names and sizes of headers before them; data are left to the caller.

    TarFile is not used, because what it keeps of a hostile header in memory has no limit.
    """
    said: dict[str, str] = {}
    while header := _header(stream):
        if header.type in PAX_HEADERS or header.type in NAMED_HEADERS:
            if header.size > HEADER_BYTES:
                raise _RefusedError(f"{header.name!r}: a header of {header.size:,} bytes, of at most {HEADER_BYTES:,}")
            payload = stream.read(header.size)
            stream.skip(-header.size % tarfile.BLOCKSIZE)
            if keyword := NAMED_HEADERS.get(header.type):
                said[keyword] = payload.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            elif header.type != tarfile.XGLTYPE:  # what is said of all members names none of them
                said |= {keyword: value for keyword, value in _pax_records(payload) if keyword in PAX_KEYWORDS}
            continue
        header.name, header.linkname = said.get("path", header.name), said.get("linkpath", header.linkname)
        header.size = int(said.get("size", header.size))
        if header.type == tarfile.GNUTYPE_SPARSE or any("sparse" in keyword for keyword in said):
            raise _RefusedError(f"{header.name!r}: a sparse file, which images are not")
        yield header
        said = {}


def _tar_member(stream: _Unpacked, header: tarfile.TarInfo, name: str, links: _Links, wanted: bool) -> Member | None:
    if header.isdir():
        return None
    if header.issym():
        return links.add(name, header.linkname, name.count("/"))
    if header.islnk():
        return links.add(name, header.linkname, 0)
    if not header.isreg() or not name:
        raise _RefusedError(f"{header.name!r}: neither a file nor a folder nor a link")
    if not 0 <= header.size <= MEMBER_BYTES:
        raise _RefusedError(f"{name!r}: a file of {header.size:,} bytes; at most {MEMBER_BYTES:,}")
    data = stream.read(header.size) if wanted else b""
    stream.skip(header.size - len(data) + -header.size % tarfile.BLOCKSIZE)
    return Member(name, data)


def _read_tar(chunks: Iterator[bytes], wanted: Callable[[str], bool]) -> Iterator[Member]:
    stream, links = _Unpacked(chunks), _Links()
    for count, header in enumerate(_tar_headers(stream)):
        if count >= MEMBERS:
            raise _RefusedError(f"more than {MEMBERS:,} members")
        name = _clean(header.name)
        links.check(name)
        junk = is_junk(name)
        member = _tar_member(stream, header, name, links, not junk and wanted(name))
        if member and not junk:
            yield member
    stream.finish()


# -- zip -----------------------------------------------------------------------------------------------------------------


class _ZipBytes(io.FileIO):
    """A file whose list of members ZipFile reads at once; one that is too long is refused before it is taken apart."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size) or b""
        if data.count(b"PK\1\2") > MEMBERS:
            raise _RefusedError(f"more than {MEMBERS:,} members")
        return data


def _zip_name(info: zipfile.ZipInfo) -> str:
    # Without the flag a name should be in code page 437, but many writers leave UTF-8 there.
    try:
        return info.orig_filename if info.flag_bits & 0x800 else info.orig_filename.encode("cp437").decode()
    except UnicodeDecodeError:
        return info.orig_filename


def _check_zip(archive: zipfile.ZipFile) -> None:
    entries = sorted(archive.infolist(), key=lambda info: info.header_offset)
    starts = [info.header_offset for info in entries[1:]] + [archive.start_dir]
    for info, following in zip(entries, starts, strict=False):
        if info.header_offset + LOCAL_HEADER + info.compress_size > following:
            raise _RefusedError(f"{_zip_name(info)!r}: overlaps another member")


def _zip_data(archive: zipfile.ZipFile, info: zipfile.ZipInfo, total: _Total) -> bytes:
    with archive.open(info) as file:
        data = _joined(total.counted(_chunks(file.read)))
    if len(data) != info.file_size:
        raise zipfile.BadZipFile("it is cut short")
    return data


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, total: _Total, wanted: bool) -> Member:
    try:
        return Member(name, _zip_data(archive, info, total) if wanted else b"")
    except _RefusedError:
        raise
    except Exception as error:  # whatever a damaged member provokes
        return Member(name, b"", f"is damaged in the archive: {error}")


def _check_zip_member(info: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK) or not name:
        raise _RefusedError(f"{name!r}: neither a file nor a folder nor a link")
    if info.flag_bits & 0x41:
        raise _RefusedError(f"{name!r}: encrypted; pack the archive again without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # ZipFile unpacks others without a limit
        raise _RefusedError(f"{name!r}: compressed by method {info.compress_type}; only stored and deflated are read")
    most = NAME_LENGTH if kind == stat.S_IFLNK else MEMBER_BYTES
    if info.file_size > most:
        raise _RefusedError(f"{name!r}: a file or link of {info.file_size:,} bytes; at most {most:,}")


def _read_zip(archive: zipfile.ZipFile, total: _Total, wanted: Callable[[str], bool]) -> Iterator[Member]:
    _check_zip(archive)
    links = _Links()
    for info in archive.infolist():
        name = _clean(_zip_name(info))
        links.check(name)
        if info.is_dir() or stat.S_ISDIR(info.external_attr >> 16):
            continue
        _check_zip_member(info, name)
        junk, is_link = is_junk(name), stat.S_ISLNK(info.external_attr >> 16)
        member = _zip_member(archive, info, name, total, is_link or (not junk and wanted(name)))
        if is_link and not member.fault:
            member = links.add(name, member.data.decode("utf-8", "surrogateescape"), name.count("/"))
        if not junk:
            yield member


# -- either --------------------------------------------------------------------------------------------------------------


def _members(path: Path, file: BinaryIO, wanted: Callable[[str], bool]) -> Iterator[Member]:
    start = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    total = _Total(path.stat().st_size)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        with _ZipBytes(path) as raw, zipfile.ZipFile(raw) as archive:
            yield from _read_zip(archive, total, wanted)
        return
    unpack = next((unpack for magic, unpack in UNPACK.items() if start.startswith(magic)), None)
    if unpack is None and start[257:262] != b"ustar":
        raise _RefusedError(f"not an archive that can be read; it may be a {KINDS}")
    yield from _read_tar(total.counted(unpack(file) if unpack else _chunks(file.read)), wanted)


def read_archive(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Member]:
    """The files in a tar (also gzip, xz or bzip2) or zip archive, in its order, with the bytes of those ``wanted``.

    Hidden files and what macOS and Windows leave behind are passed over. A link that stays in the archive, and a
    damaged member of a zip, has a fault.

    Raises:
        UserError: the file cannot be read, or is no archive, or damaged; it is encrypted; it holds a device, or a name
            or link that leads out of it; it unpacks to more than an archive of its size should.
    """
    try:
        with path.open("rb") as file:
            yield from _members(path, file, wanted)
    except _RefusedError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # whatever damaged bytes provoke; of OSError, those of gzip and bz2 have no strerror
        reason = getattr(error, "strerror", None)
        text = f"cannot be read ({reason})" if reason else f"damaged or cut short ({error}); fetch or pack it again"
        raise UserError(f"{path}: {text}") from error
