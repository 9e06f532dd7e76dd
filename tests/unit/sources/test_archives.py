import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from graft.errors import UserError
from graft.sources import archives
from graft.sources.archives import Member, read_archive

MIB = 2**20
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
KINDS = [*TARS, "zip"]


def photo(left: int, top: int, size: int = 24) -> bytes:
    """A crop of a real photograph as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")[top : top + size, left : left + size]).save(file, "JPEG")
    return file.getvalue()


PHOTO = photo(200, 100)
FILES = {f"photos/roof {n}/{n}.jpg": photo(200 + 30 * n, 100) for n in range(4)} | {"photos/LICENSE.txt": b"CC BY\n"}


# -- writers -------------------------------------------------------------------------------------------------------------


def tar_info(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_of(*members: tuple[tarfile.TarInfo, bytes], kind: str = "tar", format: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=TARS[kind], format=format) as archive:
        for info, data in members:
            info.size = len(data) or info.size
            archive.addfile(info, io.BytesIO(data) if data else None)
    return file.getvalue()


def tar_file(name: str, data: bytes = PHOTO, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return tar_info(name, **fields), data


def tar_link(name: str, target: str, type: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return tar_info(name, type=type, linkname=target), b""


def tar_pax(**records: str) -> bytes:
    return tar_of(tar_file("a/x.jpg", pax_headers=records), format=tarfile.PAX_FORMAT)


def tar_header(type: bytes, payload: bytes) -> bytes:
    """A header that speaks of the member behind it, and what it says."""
    return tar_info("header", type=type, size=len(payload)).tobuf() + payload + bytes(-len(payload) % 512)


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, **fields: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.writestr(info, data, method)
    return file.getvalue()


def zip_mode(mode: int, data: bytes = PHOTO) -> bytes:
    return zip_of({"a/x.jpg": data}, create_system=3, external_attr=mode << 16)


def packed(files: dict[str, bytes], kind: str) -> bytes:
    if kind == "zip":
        return zip_of(files)
    return tar_of(*(tar_file(name, data) for name, data in files.items()), kind=kind)


def directory_entry(data: bytes, name: bytes) -> int:
    """Where the entry of a member starts in the central directory of a zip: 46 bytes before its name there."""
    entry = data.rindex(name) - 46
    assert data[entry : entry + 4] == b"PK\1\2"
    return entry


def patched(data: bytes, start: int, format: str, *values: int) -> bytes:
    return data[:start] + struct.pack(format, *values) + data[start + struct.calcsize(format) :]


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes the bytes of an archive, under a name that says nothing of its format."""

    def write(data: bytes) -> Path:
        path = tmp_path / "in" / "archive"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return path

    return write


def members(path: Path) -> dict[str, bytes]:
    return {member.name: member.data for member in read_archive(path)}


# -- good archives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_its_files_in_its_order_whatever_it_is_called(put: Callable, kind: str) -> None:
    found = list(read_archive(put(packed(FILES, kind))))
    assert found == [Member(name, data) for name, data in FILES.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_only_wanted_files_are_loaded_and_the_others_are_named(put: Callable, kind: str) -> None:
    found = list(read_archive(put(packed(FILES, kind)), lambda name: name.endswith("2.jpg")))
    assert [member.name for member in found] == list(FILES)
    assert {member.name: member.data for member in found if member.data} == {
        "photos/roof 2/2.jpg": FILES["photos/roof 2/2.jpg"]
    }


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [100, 101, 154, 249])
def test_names_of_any_length_are_those_that_were_packed(put: Callable, format: int, length: int) -> None:
    name = "d" * (length - 95) + "/" + "x" * 90 + ".jpg"
    files = {name: PHOTO, "next.jpg": b"next"}
    assert members(put(tar_of(*(tar_file(*item) for item in files.items()), format=format))) == files


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_longer_than_a_header_is_read_whole(put: Callable, format: int) -> None:
    name = "/".join(["long folder " * 10] * 20) + "/München ' \" \n <script>.jpg"
    assert members(put(tar_of(tar_file(name), tar_file("b.jpg"), format=format))) == {name: PHOTO, "b.jpg": PHOTO}


def test_what_a_pax_header_says_counts(put: Callable) -> None:
    assert members(put(tar_pax(path="Zürich/x.jpg", comment="a = b", mtime="1.5"))) == {"Zürich/x.jpg": PHOTO}
    header = tar_header(tarfile.XHDTYPE, b"%d size=%d\n" % (len(b"12 size=1000"), 600))
    other = header + tar_info("x.jpg", size=5).tobuf() + PHOTO[:600] + bytes(-600 % 512) + bytes(1024)
    assert members(put(other)) == {"x.jpg": PHOTO[:600]}


def test_a_pax_header_about_all_members_names_none(put: Callable) -> None:
    about_all = tar_header(tarfile.XGLTYPE, b"17 path=same.jpg\n")
    assert members(put(about_all + packed(FILES, "tar"))) == FILES


def test_a_leading_dot_and_doubled_slashes_are_no_part_of_a_name(put: Callable) -> None:
    assert list(members(put(tar_of(tar_file("./a//b/./x.jpg"), tar_link("./", "", tarfile.DIRTYPE))))) == ["a/b/x.jpg"]


JUNK = ["__MACOSX/a/x.jpg", "a/.DS_Store", "a/._x.jpg", "a/Thumbs.db", "Desktop.ini", ".git/x.jpg", "a/.hidden/x.jpg"]


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_files_and_those_of_file_managers_are_passed_over(put: Callable, kind: str) -> None:
    files = dict.fromkeys([*JUNK, "a/MACOSX.jpg"], PHOTO)
    assert list(members(put(packed(files, kind)))) == ["a/MACOSX.jpg"]


def test_names_that_are_not_utf_8_are_escaped(put: Callable) -> None:
    assert list(members(put(tar_of(tar_file("M\udcfcnchen/x.jpg"))))) == [r"M\xfcnchen/x.jpg"]


@pytest.mark.parametrize("stored", ["München".encode(), "München".encode("cp437")])
def test_zip_names_are_utf_8_or_else_of_code_page_437(put: Callable, stored: bytes) -> None:
    data = zip_of({"_" * len(stored): PHOTO}).replace(b"_" * len(stored), stored)
    assert members(put(data)) == {"München": PHOTO}


def test_streams_one_behind_the_other_are_one_archive(put: Callable) -> None:
    data = packed(FILES, "tar")
    for compress in (gzip.compress, bz2.compress, lambda part: lzma.compress(part) + bytes(8)):
        assert members(put(compress(data[:3000]) + compress(data[3000:]))) == FILES


@pytest.mark.parametrize("kind", KINDS[1:])
def test_an_archive_without_files_gives_none(put: Callable, kind: str) -> None:
    assert members(put(packed({}, kind))) == {}


# -- faults of single members --------------------------------------------------------------------------------------------

INSIDE = {
    "a link beside its target": ("a/link.jpg", "x.jpg", tarfile.SYMTYPE),
    "a link to another folder": ("b/c/link.jpg", "../../a/x.jpg", tarfile.SYMTYPE),
    "a link to the top": ("a/link.jpg", "..", tarfile.SYMTYPE),
    "a hard link": ("b/link.jpg", "a/x.jpg", tarfile.LNKTYPE),
}


@pytest.mark.parametrize("link", INSIDE.values(), ids=INSIDE)
def test_a_link_inside_an_archive_is_a_fault_and_not_followed(put: Callable, link: tuple[str, str, bytes]) -> None:
    found = list(read_archive(put(tar_of(tar_file("a/x.jpg"), tar_link(*link), tar_file("z.jpg")))))
    assert [(member.name, member.data) for member in found] == [("a/x.jpg", PHOTO), (link[0], b""), ("z.jpg", PHOTO)]
    assert [member.fault.partition(",")[0] for member in found] == ["", "is a link", ""]


def test_a_link_in_a_zip_is_a_fault_and_not_followed(put: Callable) -> None:
    (found,) = read_archive(put(zip_mode(stat.S_IFLNK | 0o777, b"y.jpg")), lambda name: False)
    assert (found.name, found.data, found.fault.partition(",")[0]) == ("a/x.jpg", b"", "is a link")


def damaged_zip() -> bytes:
    data = zip_of({name: FILES[name] for name in FILES}, zipfile.ZIP_STORED)
    second = list(FILES.values())[1]
    at = data.index(second) + 300
    return patched(data, at, "B", data[at] ^ 1)


def test_a_damaged_member_of_a_zip_is_a_fault_and_the_others_are_read(put: Callable) -> None:
    found = {member.name: member for member in read_archive(put(damaged_zip()))}
    bad = found.pop("photos/roof 1/1.jpg")
    assert bad.data == b""
    assert bad.fault.startswith("is damaged in the archive: Bad CRC-32")
    assert {name: member.data for name, member in found.items()} == {n: d for n, d in FILES.items() if n != bad.name}


def test_a_damaged_member_that_is_not_wanted_is_not_looked_at(put: Callable) -> None:
    assert all(not member.fault for member in read_archive(put(damaged_zip()), lambda name: False))


# -- archives that are refused -------------------------------------------------------------------------------------------

LEADS_OUT = {
    "a folder above": "../x.jpg",
    "above in the middle": "a/../../x.jpg",
    "above, and back": "a/../x.jpg",
    "above, behind dots": "./.././x.jpg",
    "a drive letter": "C:/x.jpg",
    "a drive letter behind a dot": "./c:x.jpg",
    "backslashes": "a\\..\\..\\x.jpg",
    "a share": "\\\\host\\x.jpg",
}


def encrypted() -> bytes:
    data = zip_of({"a/x.jpg": PHOTO})
    for flags in (6, directory_entry(data, b"a/x.jpg") + 8):
        data = patched(data, flags, "<H", 1)
    return data


def overlapping() -> bytes:
    """A zip whose second entry is a copy of its first, as zip bombs have them."""
    data = zip_of({"a/x.jpg": PHOTO, "a/y.jpg": PHOTO})
    return patched(data, directory_entry(data, b"a/y.jpg") + 42, "<I", 0)


def nested() -> bytes:
    """A zip with an entry inside the bytes of another."""
    data = zip_of({"a/x.jpg": zip_of({"a/z.jpg": PHOTO}), "a/z.jpg": b""}, zipfile.ZIP_STORED)
    return patched(data, directory_entry(data, b"a/z.jpg") + 42, "<I", data.index(b"PK\3\4", 4))


def link(*links: tuple[str, str], type: bytes = tarfile.SYMTYPE) -> bytes:
    return tar_of(*(tar_link(*item, type) for item in links), tar_file("l/passwd.jpg"))


HUGE = MIB * 1024 + 1
HOSTILE: dict[str, tuple[bytes, str]] = {
    **{f"tar: {what}": (tar_of(tar_file(name)), "its name leads out of the arch") for what, name in LEADS_OUT.items()},
    **{
        f"zip: {what}": (zip_of({name: PHOTO}), "its name leads out of the archive") for what, name in LEADS_OUT.items()
    },
    "tar: a folder above": (tar_of((tar_info("../x", type=tarfile.DIRTYPE), b"")), "leads out of the archive"),
    "tar: a pax name above": (tar_pax(path="../x.jpg"), "leads out of the archive"),
    "tar: a name with NUL": (tar_pax(path="a/x.jpg\0.txt"), "contains NUL"),
    "zip: a name with NUL": (zip_of({"a/x.jpg_.txt": PHOTO}).replace(b"jpg_", b"jpg\0"), "contains NUL"),
    "tar: an endless name": (tar_pax(path="a/" * 3000 + "x.jpg"), "longer than 4096 characters"),
    "tar: a file without a name": (tar_of(tar_file("./")), "neither a file nor a folder"),
    "tar: a link to the system": (link(("l", "/etc/passwd")), "'l': a link that may lead out of the archive"),
    "tar: a link above": (link(("a/b/l", "../../../x")), "a link that may lead out"),
    "tar: a link above, and down": (link(("a/l", "../../a/x")), "a link that may lead out"),
    "tar: a link to a drive": (link(("a/l", "C:x")), "a link that may lead out"),
    "tar: a link with backslashes": (link(("a/l", "..\\..\\x")), "a link that may lead out"),
    "tar: a chain of links": (link(("d/up", ".."), ("e", "d/up/../x")), "'e': a link that may lead out"),
    "tar: a file below a link": (link(("l", "d")), "'l/passwd.jpg': lies below 'l', which is a link"),
    "tar: a link below a link": (link(("l", "."), ("l/up", "..")), "'l/up': lies below 'l', which is a link"),
    "tar: a link below a link, further down": (link(("d", "e"), ("d/a/b", "..")), "lies below 'd'"),
    "tar: a hard link above": (link(("a/l", "../x"), type=tarfile.LNKTYPE), "a link that may lead out"),
    "tar: a hard link to the system": (link(("l", "/etc/passwd"), type=tarfile.LNKTYPE), "a link that may lead out"),
    "tar: a pax link": (tar_of(*[(tar_info("l", type=tarfile.SYMTYPE, linkname="/" + "x" * 200), b"")]), "lead out"),
    "zip: a link to the system": (zip_mode(stat.S_IFLNK, b"/etc/passwd"), "a link that may lead out"),
    "zip: a link above": (zip_mode(stat.S_IFLNK, b"../../x"), "a link that may lead out"),
    "zip: a link of an absurd length": (zip_mode(stat.S_IFLNK, b"x" * 5000), "a file or link of 5,000 bytes"),
    "tar: a character device": (tar_of((tar_info("x.jpg", type=tarfile.CHRTYPE, devmajor=1), b"")), "neither a file"),
    "tar: a block device": (tar_of((tar_info("x.jpg", type=tarfile.BLKTYPE), b"")), "neither a file nor a folder"),
    "tar: a fifo": (tar_of((tar_info("x.jpg", type=tarfile.FIFOTYPE), b"")), "neither a file nor a folder"),
    "tar: an unknown kind": (tar_of((tar_info("x.jpg", type=b"V"), b"")), "neither a file nor a folder"),
    "zip: a device": (zip_mode(stat.S_IFCHR), "neither a file nor a folder nor a link"),
    "zip: a fifo": (zip_mode(stat.S_IFIFO), "neither a file nor a folder nor a link"),
    "tar: a sparse file": (tar_of((tar_info("x.jpg", type=tarfile.GNUTYPE_SPARSE), b"")), "a sparse file"),
    "tar: a pax sparse file": (tar_pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "a sparse file"),
    "tar: a file larger than 1 GiB": (tar_info("x.jpg", size=HUGE).tobuf(), "a file of 1,073,741,825 bytes; at most"),
    "tar: a pax size larger than 1 GiB": (tar_pax(size=str(HUGE)), "a file of 1,073,741,825 bytes"),
    "tar: a negative size": (tar_info("x.jpg", size=-512).tobuf(format=tarfile.GNU_FORMAT), "a size is negative"),
    "tar: a negative pax size": (tar_pax(size="-512"), "a file of -512 bytes"),
    "tar: a pax record beyond its header": (tar_header(tarfile.XHDTYPE, b"99 path=x.jpg\n"), "a pax header is damaged"),
    "tar: a pax record without a line end": (tar_header(tarfile.XHDTYPE, b"13 path=x.jpg"), "a pax header is damaged"),
    "tar: a pax size in words": (tar_pax(size="large"), "damaged or cut short"),
    "zip: a file larger than 1 GiB": (
        patched(zip_of({"a/x.jpg": PHOTO}), directory_entry(zip_of({"a/x.jpg": PHOTO}), b"a/x.jpg") + 24, "<I", HUGE),
        "a file or link of 1,073,741,825 bytes",
    ),
    "zip: encrypted": (encrypted(), "'a/x.jpg': encrypted"),
    "zip: entries in one place": (overlapping(), "overlaps another member"),
    "zip: an entry inside another": (nested(), "overlaps another member"),
    "zip: compressed by bzip2": (zip_of({"x.jpg": PHOTO}, zipfile.ZIP_BZIP2), "compressed by method 12; only stored"),
    "zip: compressed by LZMA": (zip_of({"x.jpg": PHOTO}, zipfile.ZIP_LZMA), "compressed by method 14; only stored"),
    "empty": (b"", "not an archive that can be read; it may be a tar, tar.gz"),
    "an image": (PHOTO, "not an archive that can be read"),
    "a compressed image": (gzip.compress(PHOTO), "damaged or cut short"),
}


def everything_below(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_and_writes_nothing(
    put: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    path = put(data)
    (tmp_path / "here" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "deep")
    before = everything_below(tmp_path)
    with pytest.raises(UserError) as error:
        list(read_archive(path))
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert reason in text
    assert text.isprintable()
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_absolute_path_is_refused_and_not_written(put: Callable, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target.jpg"
    with pytest.raises(UserError, match="its name leads out of the archive"):
        list(read_archive(put(packed({str(target): PHOTO}, kind))))
    assert not target.exists()


def test_refusals_do_not_depend_on_what_is_wanted(put: Callable) -> None:
    for data in (HOSTILE["tar: a fifo"][0], HOSTILE["tar: a folder above"][0], encrypted(), overlapping()):
        with pytest.raises(UserError):
            list(read_archive(put(data), lambda name: False))


@pytest.mark.parametrize("kind", KINDS)
def test_more_members_than_allowed_are_refused(put: Callable, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(archives, "MEMBERS", len(FILES) - 1)
    with pytest.raises(UserError, match="more than 4 members"):
        list(read_archive(put(packed(FILES, kind))))


# -- damaged archives ----------------------------------------------------------------------------------------------------

PACKED = {kind: packed(FILES, kind) for kind in KINDS}


def read_or_refused(path: Path, data: bytes) -> list[Member] | None:
    path.write_bytes(data)
    try:
        return list(read_archive(path))
    except UserError:
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(share=st.floats(0, 1, exclude_max=True))
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    data = PACKED[kind]
    end = data.rstrip(b"\0") if kind == "tar" else data  # the end mark of a tar is zeros, more than are needed
    assert read_or_refused(tmp_path / "x", data[: int(share * len(end))]) is None


def test_a_tar_without_its_end_mark_is_refused(tmp_path: Path) -> None:
    whole = PACKED["tar"]
    end = len(whole.rstrip(b"\0"))
    end += -end % 512
    assert read_or_refused(tmp_path / "x", whole[:end]) is None
    assert read_or_refused(tmp_path / "x", whole[: end + 512]) == [Member(*item) for item in FILES.items()]


@pytest.mark.parametrize("kind", KINDS)
@given(share=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_flipped_byte_gives_members_or_a_refusal(tmp_path: Path, kind: str, share: float, change: int) -> None:
    data = bytearray(PACKED[kind])
    data[int(share * len(data))] ^= change
    for member in read_or_refused(tmp_path / "x", bytes(data)) or []:
        assert kind == "tar" or member.fault or member.data in FILES.values()


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    data = PACKED["tar"]
    second = data.index(b"photos/roof 1")
    assert read_or_refused(tmp_path / "x", patched(data, second, "B", ord("q"))) is None


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_header_give_members_or_a_refusal(tmp_path: Path, payload: bytes) -> None:
    for type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        read_or_refused(tmp_path / "x", tar_header(type, payload) + tar_of(tar_file("a/x.jpg")))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent: cannot be read \(No such file or directory\)"):
        list(read_archive(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        list(read_archive(tmp_path))


# -- bombs ---------------------------------------------------------------------------------------------------------------


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Yields what gives the most memory, in bytes, that the block took."""
    tracemalloc.start()
    most: list[int] = []
    try:
        yield most.pop
        most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.fixture
def peak() -> Callable[[Path, str], int]:
    """The most memory, in bytes, that reading an archive takes until it is refused, and checks the reason."""

    def measure(path: Path, reason: str) -> int:
        with traced() as most, pytest.raises(UserError, match=reason):
            for _ in read_archive(path):
                pass
        return most()

    return measure


def zeros(size: int, compress: Callable[[bytes], bytes]) -> bytes:
    """So many zeros, compressed: equal streams one behind the other."""
    return compress(bytes(16 * MIB)) * (size // (16 * MIB))


COMPRESSORS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lambda data: lzma.compress(data, preset=0)}


@pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)
def test_a_bomb_of_zeros_is_stopped_by_what_comes_out(
    put: Callable, peak: Callable, monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(archives, "TOTAL_BYTES", 20 * MIB)
    monkeypatch.setattr(archives, "TOTAL_RATIO", 1)
    image = compress(tar_info("a/x.jpg", size=32 * MIB).tobuf())
    assert peak(put(image + zeros(32 * MIB, compress)), "unpacks to more than 20,971,520 bytes") < 30 * MIB
    end = compress(packed(FILES, "tar"))
    assert peak(put(end + zeros(32 * MIB, compress)), "unpacks to more than 20,971,520 bytes") < 3 * MIB


def test_the_limit_grows_with_the_archive_from_a_gibibyte_on() -> None:
    assert archives._Total(1000)._limit == 2**30
    assert archives._Total(10**8)._limit == 200 * 10**8


def test_a_claimed_image_of_a_terabyte_is_refused_before_it_is_read(put: Callable, peak: Callable) -> None:
    image = tar_info("a/x.jpg", size=2**40).tobuf(format=tarfile.GNU_FORMAT)
    assert peak(put(gzip.compress(image) + zeros(32 * MIB, gzip.compress)), "a file of 1,099,511,627,776") < 3 * MIB


@pytest.mark.parametrize(("wanted", "most"), [(True, 48), (False, 3)])
def test_a_file_takes_its_size_in_memory_if_it_is_wanted_and_else_nothing(
    put: Callable, wanted: bool, most: int
) -> None:
    path = put(gzip.compress(tar_info("a/x.jpg", size=32 * MIB).tobuf()) + zeros(48 * MIB, gzip.compress))
    with traced() as peak:
        ((_, data, _),) = read_archive(path, lambda name: wanted)
    assert len(data) == (32 * MIB if wanted else 0)
    assert peak() < most * MIB


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_claims_ten_gigabytes_is_refused_before_it_is_read(
    put: Callable, peak: Callable, type: bytes
) -> None:
    header = tar_info("header", type=type, size=10**10).tobuf(format=tarfile.GNU_FORMAT)
    path = put(gzip.compress(header) + zeros(32 * MIB, gzip.compress))
    assert peak(path, "a header of 10,000,000,000 bytes, of at most 1,048,576") < 3 * MIB


def pax(keyword: bytes) -> bytes:
    """A valid pax header of close to 1 MiB."""
    return tar_header(tarfile.XHDTYPE, b"1040000 %s=" % keyword + b"x" * (1040000 - 10 - len(keyword)) + b"\n")


def test_headers_that_follow_each_other_do_not_add_up(put: Callable, peak: Callable) -> None:
    endless = b"".join(gzip.compress(pax(b"comment%d" % number), 1) for number in range(24))
    assert peak(put(endless), "it ends in the middle") < 8 * MIB


@pytest.mark.parametrize("filler", [b"2 ", b"1", b"9 "])
def test_a_header_that_takes_long_to_take_apart_is_refused(put: Callable, peak: Callable, filler: bytes) -> None:
    header = tar_header(tarfile.XHDTYPE, (filler * MIB)[: MIB - 2] + b"=\n")
    assert peak(put(gzip.compress(header)), "damaged or cut short") < 8 * MIB


def test_an_xz_header_cannot_claim_any_memory(put: Callable) -> None:
    data = bytearray(packed(FILES, "tar.xz"))
    size = (data[12] + 1) * 4  # the block header, behind the stream header of 12 bytes; its last 4 are a CRC-32
    assert data[14:16] == b"\x21\x01"  # the filter LZMA2, with one byte that is the size of its dictionary
    data[16] = 40  # 4 GiB - 1
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    with pytest.raises(UserError, match="Memory usage limit exceeded"):
        list(read_archive(put(bytes(data))))


def lying_zip(size: int) -> bytes:
    """A zip of 32 MiB of zeros, whose headers say that they are fewer."""
    data = zip_of({"a/x.jpg": bytes(32 * MIB)})
    data = patched(data, 22, "<I", size)
    return patched(data, directory_entry(data, b"a/x.jpg") + 24, "<I", size)


def test_a_zip_that_lies_about_a_size_gives_a_fault_and_takes_no_memory(put: Callable) -> None:
    path = put(lying_zip(100))
    with traced() as peak:
        (member,) = read_archive(path)
    assert peak() < 3 * MIB
    assert (member.data, member.fault.partition(":")[0]) == (b"", "is damaged in the archive")


def test_a_zip_that_claims_more_than_it_holds_gives_a_fault(put: Callable) -> None:
    (member,) = read_archive(put(lying_zip(33 * MIB)))
    assert member.fault == "is damaged in the archive: it is cut short"


def test_a_zip_bomb_is_stopped_by_what_comes_out(
    put: Callable, peak: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "TOTAL_BYTES", 20 * MIB)
    monkeypatch.setattr(archives, "TOTAL_RATIO", 1)
    path = put(zip_of({f"a/{number}.jpg": bytes(8 * MIB) for number in range(4)}))
    assert peak(path, "unpacks to more than 20,971,520 bytes") < 20 * MIB
    assert len(list(read_archive(path, lambda name: name == "a/3.jpg"))) == 4  # only what is unpacked counts
