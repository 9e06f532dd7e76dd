"""Own images: in a folder for each class, in an archive of such folders, or listed in a CSV file.

Images that lie in a folder are read where they are. A listing beside the raw files tells whether they are still those
that were listed: by sizes and times of modification, and by checksums where these differ.
"""

import csv
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from graft.errors import UserError
from graft.files import read_json, replacing, sha256, write_json
from graft.registry import part
from graft.sources.archives import MEMBER_BYTES, is_junk, read_archive
from graft.sources.base import Fetcher, Images, Sample, Sha256, Source
from graft.sources.remote import Remote

Say = Callable[[str], None]

SAMPLES = "samples.csv"
LISTING = "state/listing.json"
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
)
LAYOUT = "expected <class>/<image>, or train, validation or test/<class>/<image>"
NO_UTF8 = "has a name that is not UTF-8; rename it"
CHANGED = "has changed since it was listed; run snakemake again, which lists it anew"
SHOWN = 10


class Row(NamedTuple):
    """An image in ``samples.csv``; its checksum is empty where it lies in an archive, which has one of its own."""

    name: str
    class_name: str
    split: str
    sha256: str = ""


# -- which class an image has --------------------------------------------------------------------------------------------


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _wrapping(folders: Iterable[list[str]]) -> int:
    """How many folders, one in the other, only wrap the others; one that is named like a split does not."""
    above = [folder[:-1] for folder in folders]
    pairs = zip(min(above), max(above), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda two: two[0] == two[1] and two[0].lower() not in SPLITS, pairs))


def _rows(names: Collection[str], where: object) -> list[Row]:
    """The images, sorted by name, with class and split from the folders that they lie in.

    Raises:
        UserError: there are none, or one lies in no class folder, or folders for splits lie beside others.
    """
    if not names:
        raise UserError(f"{where}: no images in it; {LAYOUT}, the image a file that ends in {', '.join(ENDINGS)}")
    names = sorted(names)
    folders = [name.split("/")[:-1] for name in names]
    skip = _wrapping(folders)
    folders = [folder[skip:] for folder in folders]
    tops = {folder[0] for folder in folders if folder}
    splits = {top for top in tops if top.lower() in SPLITS}
    if splits and splits != tops:
        text = f"folder {min(splits)!r} is named like a split, and {min(tops - splits)!r} beside it is not; {LAYOUT}"
        raise UserError(f"{where}: {text} (a CSV file may name its classes as it likes)")
    depth = 2 if splits else 1
    if loose := next((name for name, folder in zip(names, folders, strict=True) if len(folder) < depth), None):
        raise UserError(f"{where}: {loose!r} lies in no class folder; {LAYOUT}")
    split_of = [SPLITS[folder[0].lower()] if splits else "" for folder in folders]
    return [Row(name, folder[depth - 1], split) for name, folder, split in zip(names, folders, split_of, strict=True)]


def _with_classes(rows: list[Row], where: object) -> list[Row]:
    classes = {row.class_name for row in rows}
    if len(classes) < 2:
        found = f"only one class, {min(classes)!r}" if classes else "no images"
        raise UserError(f"{where}: {found}; a classification needs two classes or more")
    return rows


def _check_folders(names: Iterable[str], is_utf8: Callable[[str], bool], where: object) -> None:
    """Refuse images in a folder whose name is not UTF-8, for that of a class must be."""
    for name in names:
        folder = name.rpartition("/")[0]
        if not is_utf8(folder):
            raise UserError(f"{where}: folder {folder!r} {NO_UTF8}")


def _tell(say: Say, where: object, others: Iterable[str], misnamed: Sequence[str], empty: Sequence[str] = ()) -> None:
    """Say what is passed over: other files, by their endings, images without a usable name, and empty folders."""
    endings = Counter(PurePosixPath(name).suffix.lower() for name in others)
    if endings:
        counts = ", ".join(f"{count:,} {ending or 'without ending'!r}" for ending, count in endings.most_common(SHOWN))
        say(f"{where}: {endings.total():,} files passed over, which do not end as images do: {counts}")
    if misnamed:
        say(f"{where}: {len(misnamed):,} images passed over: {misnamed[0]!r} {NO_UTF8}")
    if empty:
        say(f"{where}: {len(empty):,} folders without images: {', '.join(map(repr, empty[:SHOWN]))}")


# -- samples.csv ---------------------------------------------------------------------------------------------------------


def _write_rows(raw: Path, rows: Iterable[Row]) -> Path:
    with replacing(raw / SAMPLES) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)  # whose line ends, "\r\n", have it quote names with either character
        writer.writerow(Row._fields)
        writer.writerows(rows)
    return raw / SAMPLES


def _read_rows(raw: Path) -> tuple[list[Row], dict[str, int]]:
    """The images in ``samples.csv``, and the labels of their classes, which are in alphabetical order."""
    with (raw / SAMPLES).open(encoding="utf-8", newline="") as file:
        rows = [Row(*fields) for fields in itertools.islice(csv.reader(file), 1, None)]
    return rows, {name: label for label, name in enumerate(sorted({row.class_name for row in rows}))}


# -- whether images have changed -----------------------------------------------------------------------------------------


def _fact(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns}"


def _token(facts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(facts.items())).encode()).hexdigest()[:16]


def _read_listing(raw: Path) -> dict[str, Any]:
    """``token``, ``facts`` and ``sha256`` of the files that were listed last; empty if none were."""
    with suppress(OSError, UserError):
        listing = read_json(raw / LISTING)
        if isinstance(listing, dict) and listing.keys() == {"token", "facts", "sha256"}:
            return listing
    return {}


def _stored_token(raw: Path) -> str:
    return str(_read_listing(raw).get("token", ""))


def _write_listing(raw: Path, token: str, facts: Mapping[str, str], digests: Mapping[str, str]) -> None:
    write_json(raw / LISTING, {"token": token, "facts": facts, "sha256": digests})


def _same_bytes(root: Path, facts: Mapping[str, str], listing: Mapping[str, Any]) -> bool:
    """Whether files are those of a listing; only those are read that have its size, but not its time."""
    before = listing["facts"]
    touched = [name for name in facts if facts[name] != before.get(name)]
    if facts.keys() != before.keys() or any(facts[name].split()[0] != before[name].split()[0] for name in touched):
        return False
    with suppress(OSError):
        return all(sha256(root / name) == listing["sha256"][name] for name in touched)
    return False


def _state(raw: Path, root: Path, facts: Mapping[str, str]) -> str:
    """The token of the listing in ``raw`` as long as the files below ``root`` are the same, else one of their facts."""
    listing = _read_listing(raw)
    if not listing or (facts != listing["facts"] and not _same_bytes(root, facts, listing)):
        return _token(facts)
    if facts != listing["facts"]:
        with suppress(OSError):  # where it cannot be written, the files are read again the next time
            _write_listing(raw, listing["token"], facts, listing["sha256"])
    return str(listing["token"])


def _mode(path: Path) -> int:
    """What is at a path, as in ``st_mode``; 0 if nothing is, or nothing that can be looked at."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a name with NUL
        return 0


# -- images that lie in a folder -----------------------------------------------------------------------------------------


class _Local(Source):
    """Images below ``root``, read where they lie."""

    def __init__(self, path: Path, root: Path, sha256: str | None) -> None:
        self.path, self.root, self.sha256 = path, root, sha256

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Size and time of modification of every file that matters, by its path below ``root``."""

    @abstractmethod
    def rows(self, say: Say) -> list[Row]:
        """The images."""

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """List the images.

        Raises:
            UserError: they are not laid out as they must be, or one cannot be read; the text names it.
        """
        if self.sha256:
            raise UserError(f"{self.path}: sha256 is for an archive, which this is not; leave it out")
        token, facts = self.state(downloads.raw), self.facts()
        rows = _with_classes(self.rows(downloads.say), self.path)
        digests = {name: self._digest(name) for name in sorted({*facts, *(row.name for row in rows)})}
        samples = _write_rows(downloads.raw, (row._replace(sha256=digests[row.name]) for row in rows))
        _write_listing(downloads.raw, token, facts, digests)
        return [samples]

    def _digest(self, name: str) -> str:
        try:
            return sha256(self.root / name)
        except OSError as error:
            raise UserError(f"{self.path}: {name!r} cannot be read ({error.strerror})") from error

    def read(self, raw: Path) -> Images:
        """The listed images, in the order of their names.

        Raises:
            UserError: as the samples are read, one is not what it was when it was listed.
        """
        rows, labels = _read_rows(raw)
        return Images(list(labels), self._samples(rows, labels))

    def _samples(self, rows: Iterable[Row], labels: Mapping[str, int]) -> Iterator[Sample]:
        for row in rows:
            path, label = self.root / row.name, labels[row.class_name]
            try:
                if path.stat().st_size > MEMBER_BYTES:
                    yield Sample(row.name, label, None, row.split, f"has more than {MEMBER_BYTES:,} bytes")
                    continue
                data = path.read_bytes()
            except OSError as error:
                raise UserError(f"{self.path}: {row.name!r} {CHANGED} ({error.strerror})") from error
            if hashlib.sha256(data).hexdigest() != row.sha256:
                raise UserError(f"{self.path}: {row.name!r} {CHANGED}")
            yield Sample(row.name, label, data, row.split)

    def state(self, raw: Path) -> str:
        """See :meth:`Source.state`; files are read only where their time of modification alone has changed."""
        if not _mode(self.path):
            return _stored_token(raw)
        try:
            return _state(raw, self.root, self.facts())
        except UserError:
            return "cannot be read"  # and fetch says why


class _Found(NamedTuple):
    """What lies below a folder: facts of images, images whose names are not UTF-8, other files, and folders."""

    images: dict[str, str]
    misnamed: list[str]
    others: list[str]
    folders: list[str]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # of a link to itself
        return entry.is_dir()
    return False


def _sort_in(found: _Found, entry: os.DirEntry[str], name: str) -> None:
    if not _is_image(name):
        found.others.append(name)
    elif not _is_utf8(name):
        found.misnamed.append(name)
    else:
        info = entry.stat()
        if not stat.S_ISREG(info.st_mode):
            raise OSError(0, "it is no regular file", name)
        found.images[name] = _fact(info)


def _scan(root: Path) -> _Found:
    """What is not hidden below a folder; links are followed, except back into a folder that contains them.

    Raises:
        UserError: a folder or an image cannot be read.
    """
    found = _Found({}, [], [], [])
    todo: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    try:
        while todo:
            folder, above = todo.pop()
            info = (root / folder).stat()
            here = (info.st_dev, info.st_ino)
            if here in above:
                continue
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = folder + entry.name
                    if is_junk(entry.name):
                        continue
                    if _is_folder(entry):
                        found.folders.append(name)
                        todo.append((f"{name}/", above | {here}))
                    else:
                        _sort_in(found, entry, name)
    except OSError as error:
        raise UserError(f"{root}: {str(error.filename)!r} cannot be read ({error.strerror})") from error
    return found


class ImageFolder(_Local):
    """A folder with a folder for each class, or with such folders in one for each split."""

    def facts(self) -> dict[str, str]:
        """Those of the images."""
        return _scan(self.path).images

    def rows(self, say: Say) -> list[Row]:
        """The images, sorted by name; what is passed over is told."""
        found = _scan(self.path)
        _check_folders(found.misnamed, _is_utf8, self.path)
        folders = {name.rpartition("/")[0] for name in found.images}
        full = {str(above) for folder in folders for above in PurePosixPath(folder, "image").parents}
        _tell(say, self.path, found.others, found.misnamed, sorted({*found.folders} - full))
        return _rows(found.images, self.path)


# -- images that a CSV file lists ----------------------------------------------------------------------------------------


def _table_row(record: Mapping[str | Any, str | Any]) -> Row:
    if None in record:
        raise ValueError("has more fields than there are columns; a comma in a path or label needs quotes around it")
    name, label, split = (record.get(key) or "" for key in ("path", "label", "split"))
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"path {name!r} leads out of the folder of the CSV file; it must stay below")
    if not path.name or not label.strip():
        raise ValueError(f"its {'label' if path.name else 'path'} is empty")
    if split and split not in SPLITS:
        raise ValueError(f"split {split!r} is not allowed; allowed: {', '.join(SPLITS)}, or nothing")
    return Row(str(path), label.strip(), SPLITS.get(split, ""))


def _read_table(path: Path) -> list[Row]:
    """The images in a CSV file with the columns path, label and, where wanted, split.

    Raises:
        UserError: it cannot be read, lacks a column, or has a row that is wrong or that names an image again.
    """
    rows: dict[str, Row] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not {"path", "label"} <= set(reader.fieldnames or ()):
                raise UserError(f"{path}: needs the columns path and label; it has {reader.fieldnames or 'none'}")
            for record in reader:
                row = _table_row(record)
                if row.name in rows:
                    raise ValueError(f"path {row.name!r} stands twice; an image has one label")
                rows[row.name] = row
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} after line {reader.line_num}); save it as UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error
    return [rows[name] for name in sorted(rows)]


class ImageTable(_Local):
    """A CSV file that lists images in its folder."""

    def facts(self) -> dict[str, str]:
        """Those of the CSV file and of the images that it lists, as far as they exist."""
        facts = {}
        for name in [self.path.name, *(row.name for row in _read_table(self.path))]:
            with suppress(OSError, ValueError):  # ValueError as above
                facts[name] = _fact((self.root / name).stat())
        return facts

    def rows(self, say: Say) -> list[Row]:
        """The images, sorted by name."""
        rows = _read_table(self.path)
        if missing := next((row.name for row in rows if not stat.S_ISREG(_mode(self.root / row.name))), None):
            raise UserError(f"{self.path}: {missing!r} is not a file in {self.root}; paths start there")
        return rows


# -- images in an archive ------------------------------------------------------------------------------------------------


def _archive_rows(archive: Path, where: object, say: Say) -> list[Row]:
    names = [member.name for member in read_archive(archive, lambda name: False)]
    images = [name for name in names if _is_image(name)]
    misnamed = [name for name in images if "\\" in name]
    _check_folders(misnamed, lambda name: "\\" not in name, where)
    _tell(say, where, (name for name in names if not _is_image(name)), misnamed)
    if twice := next((name for name, count in Counter(images).items() if count > 1), None):
        raise UserError(f"{where}: {twice!r} is in the archive more than once")
    return _rows(set(images).difference(misnamed), where)


class ImageArchive(Source):
    """An archive of class folders: the one at ``place``, if that exists, or else the published file ``remote``."""

    def __init__(self, remote: Remote, place: Path | None = None) -> None:
        self.remote, self.place = remote, place

    def fetch(self, downloads: Fetcher) -> list[Path]:
        """Get the archive, and list the images in it.

        Raises:
            UserError: there is none, or it is damaged, hostile, or not laid out as it must be.
        """
        here = self.place if self.place and stat.S_ISREG(_mode(self.place)) else None
        archive = self._copy(here, downloads.raw) if here else self._get(downloads)
        where = here or archive
        return [archive, _write_rows(downloads.raw, _with_classes(_archive_rows(archive, where, downloads.say), where))]

    def _get(self, downloads: Fetcher) -> Path:
        try:
            return downloads.get(self.remote)
        except UserError as error:
            if self.place is None:
                raise
            if not re.search(r"\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz)$", self.place.name.lower()):
                raise UserError(f"{self.place.absolute()}: no such folder, CSV file or archive") from error
            raise UserError(f"{self.place.absolute()}: no such archive; {error}") from error

    def _copy(self, place: Path, raw: Path) -> Path:
        token = self.state(raw)
        try:
            fact = _fact(place.stat())
            with replacing(raw / place.name) as beside:
                shutil.copyfile(place, beside)
                digest = sha256(beside)
                if self.remote.sha256 and digest not in self.remote.sha256:
                    raise UserError(f"{place}: its sha256 is {digest}, not {' or '.join(self.remote.sha256)}")
            _write_listing(raw, token, {place.name: fact}, {place.name: digest})
        except OSError as error:
            raise UserError(f"{place}: cannot be copied to {raw} ({error.strerror or error})") from error
        return raw / place.name

    def read(self, raw: Path) -> Images:
        """The listed images, in the order of the archive.

        Raises:
            UserError: the images were listed from a folder that is gone, or the archive is damaged.
        """
        rows, labels = _read_rows(raw)
        if any(row.sha256 for row in rows):
            raise UserError(f"{self.place}: the folder or CSV file that was listed is gone; put it back")
        return Images(list(labels), self._samples(raw / self.remote.name, {row.name: row for row in rows}, labels))

    def _samples(self, archive: Path, rows: Mapping[str, Row], labels: Mapping[str, int]) -> Iterator[Sample]:
        for name, data, fault in read_archive(archive, rows.__contains__):
            if row := rows.get(name):
                yield Sample(name, labels[row.class_name], None if fault else data, row.split, fault)

    def state(self, raw: Path) -> str:
        """See :meth:`Source.state`; what has a known checksum never changes."""
        if self.place is None or self.remote.sha256:
            return ""
        try:
            return _state(raw, self.place.parent, {self.place.name: _fact(self.place.stat())})
        except OSError:
            return _stored_token(raw)


# -- either --------------------------------------------------------------------------------------------------------------


@part("folder", splits=None)
def folder(*, path: Annotated[str, Field(pattern=r"^[^\x00]+$")], sha256: Sha256 | None = None) -> Source:
    """Images in class folders below ``path``, or in an archive of them, or listed in a CSV file.

    Class folders may lie in folders named train, validation (or val, valid) and test; a folder that wraps all of them
    is stepped into. A CSV file has the columns path, label and, if wanted, split. An archive that is not at ``path``
    is looked for in the mirrors, by its name; ``sha256`` is its checksum.
    """
    place = Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser fails where there is no such home)
    if stat.S_ISDIR(_mode(place)):
        return ImageFolder(place, place, sha256)
    if place.suffix.lower() == ".csv":
        return ImageTable(place, place.parent, sha256)
    return ImageArchive(Remote(place.name, sha256=(sha256,) if sha256 else ()), place)
