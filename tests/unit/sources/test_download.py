import gzip
import hashlib
import logging.handlers
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graft
import graft.sources.download
from graft.errors import UserError
from graft.sources.download import Downloads, mirrors_from
from graft.sources.remote import Remote

NAME = "china.jpg"
CHINA, FLOWER = (files("sklearn.datasets.images").joinpath(name).read_bytes() for name in (NAME, "flower.jpg"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


CHINA_SHA256, FLOWER_SHA256 = digest(CHINA), digest(FLOWER)
NOT_CHINA = f"its sha256 is {FLOWER_SHA256}, not {CHINA_SHA256}"


# -- a server that answers as it is told ---------------------------------------------------------------------------------

Answer = Callable[[Any], None]
ENDLESS = 50 * 10**6  # bytes: more than any buffer between two programs, and no harm if it is all written


class Server(ThreadingHTTPServer):
    """``answers``: what a path answers, in order, the last one again and again; ``asked``: how often each was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self.sent_all = False
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def address(self, path: str = NAME) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.removeprefix("/")
        self.server.asked[path] += 1
        answers = self.server.answers.get(path, [status(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        with suppress(BrokenPipeError, ConnectionResetError):
            answer(self)

    def log_message(self, *_: Any) -> None:
        pass

    def begin(self, code: int, **headers: Any) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def gives(data: bytes, **headers: Any) -> Answer:
    def answer(handler: Any) -> None:
        handler.begin(200, Content_Length=len(data), **headers)
        handler.wfile.write(data)

    return answer


def gives_without_length(handler: Any) -> None:
    handler.begin(200)
    handler.wfile.write(CHINA)


def breaks_midway(handler: Any) -> None:
    handler.begin(200, Content_Length=len(CHINA))
    handler.wfile.write(CHINA[: len(CHINA) // 2])


def stalls_midway(handler: Any) -> None:
    breaks_midway(handler)
    handler.server.ended.wait(5)


def hangs_up(handler: Any) -> None:
    pass


def never_ends(code: int, **headers: Any) -> Answer:
    def answer(handler: Any) -> None:
        handler.begin(code, **headers)
        for _ in range(ENDLESS // len(FLOWER)):
            handler.wfile.write(FLOWER)
        handler.server.sent_all = True

    return answer


def status(code: int, **headers: Any) -> Answer:
    return lambda handler: handler.begin(code, Content_Length=0, **headers)


# -- what the tests share ------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.ended.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each retry would have waited; and no proxy or mirror of this machine's own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRAFT_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    waited: list[float] = []
    monkeypatch.setattr("pooch.core.time.sleep", waited.append)
    return waited


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "images" / "raw"


def china(*addresses: str, sha256: tuple[str, ...] = (CHINA_SHA256,), size: int | None = len(CHINA)) -> Remote:
    return Remote(NAME, addresses, sha256, size)


def folder(path: Path, data: bytes | None, name: str = NAME) -> str:
    path.mkdir(parents=True)
    if data is not None:
        (path / name).write_bytes(data)
    return str(path)


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


def failure(downloads: Downloads, remote: Remote) -> list[str]:
    """The lines of the error that the get gives; nothing stays in the raw folder."""
    with pytest.raises(UserError) as error:
        downloads.get(remote)
    assert names(downloads.raw) == []
    return str(error.value).split("\n  ")


# -- a file that lies in the raw folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sha256", [(CHINA_SHA256,), (FLOWER_SHA256, CHINA_SHA256), ()])
def test_an_accepted_file_in_the_raw_folder_is_taken_as_it_is(
    raw: Path, server: Server, tmp_path: Path, sha256: tuple[str, ...]
) -> None:
    folder(raw, CHINA)
    before = (raw / NAME).stat()
    mirror = folder(tmp_path / "mirror", FLOWER)
    assert Downloads(raw, [mirror]).get(china(server.address(), sha256=sha256)) == raw / NAME
    assert ((raw / NAME).stat().st_ino, (raw / NAME).stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (raw / NAME).read_bytes() == CHINA
    assert server.asked == {}


@pytest.mark.parametrize("there", [FLOWER, CHINA[:-1], b""])
def test_another_file_in_the_raw_folder_is_said_and_replaced(raw: Path, server: Server, there: bytes) -> None:
    folder(raw, there)
    server.answers[NAME] = [gives(CHINA)]
    said: list[str] = []
    assert Downloads(raw, say=said.append).get(china(server.address())).read_bytes() == CHINA
    assert said[0] == f"{raw / NAME}: passed over: its sha256 is {digest(there)}, not {CHINA_SHA256}"
    assert names(raw) == [NAME]


def test_another_file_in_the_raw_folder_stays_if_none_replaces_it(raw: Path) -> None:
    folder(raw, FLOWER)
    with pytest.raises(UserError, match=rf"tried:\n  {re.escape(str(raw / NAME))}: {NOT_CHINA}$"):
        Downloads(raw).get(china())
    assert (raw / NAME).read_bytes() == FLOWER


# -- other data sets -----------------------------------------------------------------------------------------------------


def test_a_file_that_another_data_set_has_is_copied_from_there(raw: Path, tmp_path: Path, server: Server) -> None:
    server.answers[NAME] = [gives(CHINA)]
    bad, good = (folder(tmp_path / name / "raw", data) for name, data in (("a", FLOWER), ("b", CHINA)))
    said: list[str] = []
    path = Downloads(raw, [server.address("")], said.append).get(china(server.address()))
    assert path.read_bytes() == CHINA
    assert said == [f"{bad}/{NAME}: passed over: {NOT_CHINA}", f"{NAME}: copied from {good}"]
    assert server.asked == {}


def test_another_data_set_gives_no_file_whose_digest_is_not_known(raw: Path, tmp_path: Path) -> None:
    folder(tmp_path / "other" / "raw", FLOWER)
    assert Downloads(raw, [folder(tmp_path / "mirror", CHINA)]).get(Remote(NAME)).read_bytes() == CHINA


# -- mirrors -------------------------------------------------------------------------------------------------------------


def test_the_first_mirror_that_has_the_file_gives_it(raw: Path, tmp_path: Path, server: Server) -> None:
    server.answers = {f"mirror/{NAME}": [gives(CHINA)], NAME: [gives(CHINA)]}
    mirrors = [str(tmp_path / "none"), folder(tmp_path / "empty", None), server.address("mirror/")]
    mirrors.append(folder(tmp_path / "last", CHINA))
    said: list[str] = []
    path = Downloads(raw, mirrors, said.append).get(china(server.address()))
    assert path.read_bytes() == CHINA
    assert server.asked == {f"mirror/{NAME}": 1}
    assert not any("copied" in line for line in said)


def test_a_mirrors_file_is_copied_not_linked(raw: Path, tmp_path: Path) -> None:
    mirror = folder(tmp_path / "mirror", CHINA)
    said: list[str] = []
    path = Downloads(raw, [mirror], said.append).get(china())
    (tmp_path / "mirror" / NAME).unlink()
    assert path.read_bytes() == CHINA
    assert names(raw) == [NAME]
    assert said == [f"{NAME}: copied from {mirror}"]


def test_a_mirrors_file_with_another_digest_is_passed_over_with_one_line(
    raw: Path, tmp_path: Path, server: Server
) -> None:
    server.answers[NAME] = [gives(FLOWER)]
    mirrors = [folder(tmp_path / "bad", FLOWER), server.address("").rstrip("/"), folder(tmp_path / "good", CHINA)]
    said: list[str] = []
    assert Downloads(raw, mirrors, said.append).get(china()).read_bytes() == CHINA
    passed = [line for line in said if "passed over" in line]
    assert passed == [f"{place}: passed over: {NOT_CHINA}" for place in (tmp_path / "bad" / NAME, server.address())]


def test_a_file_without_a_known_digest_is_taken_from_the_first_mirror(raw: Path, tmp_path: Path) -> None:
    mirrors = [folder(tmp_path / "one", FLOWER), folder(tmp_path / "two", CHINA)]
    assert Downloads(raw, mirrors).get(Remote(NAME)).read_bytes() == FLOWER


def test_a_name_with_spaces_and_signs_is_found_on_every_kind_of_mirror(
    raw: Path, tmp_path: Path, server: Server
) -> None:
    name = "Bäume #1 (50%)?.jpg"
    server.answers["B%C3%A4ume%20%231%20%2850%25%29%3F.jpg"] = [gives(CHINA)]
    on_disk = folder(tmp_path / "mirror", CHINA, name)
    for number, mirror in enumerate([server.address(""), on_disk]):
        path = Downloads(raw / str(number), [mirror]).get(Remote(name, sha256=(CHINA_SHA256,)))
        assert path == raw / str(number) / name
        assert path.read_bytes() == CHINA


CONTENTS = [CHINA, FLOWER, CHINA[:50_000], FLOWER[:50_000]]


@settings(max_examples=25)
@given(st.permutations(CONTENTS), st.sets(st.sampled_from([digest(data) for data in CONTENTS]), min_size=1))
def test_the_accepted_digest_decides_not_the_name(contents: list[bytes], accepted: set[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        mirrors = [folder(Path(temporary) / str(number), data) for number, data in enumerate(contents)]
        path = Downloads(Path(temporary) / "images" / "raw", mirrors, lambda _: None).get(china(sha256=tuple(accepted)))
        assert path.read_bytes() == next(data for data in contents if digest(data) in accepted)


def test_mirrors_of_the_environment_come_first_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("GRAFT_MIRROR", " ~/data ,, https://example.org//data/,/srv/data ")
    named = ["", "/srv/data", "~", " ", "~/data", "data", "~nobody-of-this-name/data"]
    expected = ["/home/ada/data", "https://example.org//data/", "/srv/data", "/home/ada", "data"]
    assert mirrors_from(named) == [*expected, "~nobody-of-this-name/data"]


@pytest.mark.parametrize("value", [None, "", " , "])
def test_an_unset_or_blank_variable_names_no_mirror(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("GRAFT_MIRROR", value)
    assert mirrors_from(["/srv/data"]) == ["/srv/data"]


# -- the network ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [breaks_midway, hangs_up, status(503), status(429), gives(FLOWER)],
    ids=["breaks midway", "hangs up", "503", "429", "wrong bytes"],
)
def test_trouble_that_may_pass_is_tried_again(raw: Path, server: Server, trouble: Answer) -> None:
    server.answers[NAME] = [trouble, trouble, trouble, gives(CHINA)]
    assert Downloads(raw).get(china(server.address())).read_bytes() == CHINA
    assert server.asked[NAME] == 4
    assert names(raw) == [NAME]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (breaks_midway, r"IncompleteRead\(\d+ bytes read, \d+ more expected\)"),
        (hangs_up, "Remote end closed connection without response"),
        (status(503), "HTTP 503"),
        (gives(FLOWER), NOT_CHINA),
        (lambda handler: handler.wfile.write(b"\x1b[31m no\x07 HTTP\0" + b"!" * 300), r"\[31m no HTTP!{188}"),
    ],
    ids=["breaks midway", "hangs up", "503", "wrong bytes", "escape codes"],
)
def test_trouble_that_stays_ends_after_three_retries(
    raw: Path, server: Server, waits: list[float], trouble: Answer, reason: str
) -> None:
    server.answers[NAME] = [trouble]
    (line,) = failure(Downloads(raw), china(server.address()))[1:]
    assert re.fullmatch(f"{re.escape(server.address())}: {reason}", line)
    assert server.asked[NAME] == 4
    assert sum(waits) <= 10


@pytest.mark.parametrize("code", [401, 403, 404, 410, 204, 206])
def test_an_answer_that_stays_the_same_is_not_asked_for_again(
    raw: Path, server: Server, waits: list[float], code: int
) -> None:
    server.answers[NAME] = [status(code)]
    assert failure(Downloads(raw), china(server.address(), sha256=()))[1:] == [f"{server.address()}: HTTP {code}"]
    assert server.asked[NAME] == 1
    assert waits == []


def test_without_a_network_every_place_fails_at_once(
    raw: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        refusing = f"http://127.0.0.1:{taken.getsockname()[1]}"
        refused = failure(Downloads(raw, [refusing]), china(f"{refusing}/other.jpg"))[1:]
    why = "no connection (Connection refused)"
    assert refused == [f"{refusing}/{NAME}: {why}", f"{refusing}/other.jpg: {why}"]
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (line,) = failure(Downloads(raw), china("https://images.example/china.jpg"))[1:]
    assert line == "https://images.example/china.jpg: no connection (Name or service not known)"
    assert waits == []


def test_a_reason_is_the_servers_even_while_another_error_is_handled(raw: Path, server: Server) -> None:
    server.answers[NAME] = [hangs_up]
    try:
        raise OSError("of the caller")
    except OSError:
        (line,) = failure(Downloads(raw), china(server.address()))[1:]
    assert "of the caller" not in line


def test_a_server_that_falls_silent_is_given_up(
    raw: Path, server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graft.sources.download, "TIMEOUT", (1, 0.1))
    server.answers[NAME] = [stalls_midway]
    assert failure(Downloads(raw), china(server.address()))[1:] == [f"{server.address()}: timed out"]
    assert server.asked[NAME] == 4


def test_addresses_are_tried_in_order(raw: Path, server: Server) -> None:
    server.answers = {"second": [gives(CHINA)], "third": [gives(CHINA)]}
    addresses = [server.address(path).replace("http", "HTTP") for path in ("first", "second", "third")]
    assert Downloads(raw).get(china(*addresses)).read_bytes() == CHINA
    assert server.asked == {"first": 1, "second": 1}


def test_a_redirect_is_followed_and_its_body_is_not_read(raw: Path, server: Server) -> None:
    server.answers = {NAME: [never_ends(302, Location="/elsewhere")], "elsewhere": [gives(CHINA)]}
    assert Downloads(raw).get(china(server.address())).read_bytes() == CHINA
    assert not server.sent_all


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirect_to_what_is_not_http_is_refused(
    raw: Path, tmp_path: Path, server: Server, waits: list[float], scheme: str
) -> None:
    target = f"{scheme}://{folder(tmp_path / 'secret', CHINA)}/{NAME}"
    server.answers[NAME] = [status(302, Location=target)]
    (line,) = failure(Downloads(raw), china(server.address()))[1:]
    assert line.startswith(f"{server.address()}: No connection adapters were found for '{scheme}:")
    assert (server.asked[NAME], waits) == (1, [])


def test_redirects_without_end_are_refused(raw: Path, server: Server) -> None:
    server.answers[NAME] = [status(302, Location=f"/{NAME}")]
    assert failure(Downloads(raw), china(server.address()))[1:] == [f"{server.address()}: Exceeded 30 redirects."]


@pytest.mark.parametrize("scheme", ["file://", "ftp://127.0.0.1", "doi:", ""])
def test_only_http_addresses_are_contacted(raw: Path, tmp_path: Path, scheme: str) -> None:
    address = f"{scheme}{folder(tmp_path / 'data', CHINA)}/{NAME}"
    reason = "neither a folder nor an http or https address"
    assert failure(Downloads(raw), china(address))[1:] == [f"{address}: {reason}"]
    if "://" in scheme:
        mirror = f"{scheme}{tmp_path}/data"
        assert failure(Downloads(raw, [mirror]), china())[1:] == [f"{address}: {reason}"]


@pytest.mark.parametrize("address", ["http://[", "https:///china.jpg", "http://.example/china.jpg", "http://a:b/c"])
def test_an_address_that_makes_no_sense_is_a_reason_not_a_crash(raw: Path, address: str) -> None:
    (line,) = failure(Downloads(raw), china(address))[1:]
    assert line.startswith(f"{address}: ")


@pytest.mark.parametrize("label", ["gzip", "x-gzip"])
def test_an_archive_that_a_server_calls_encoded_keeps_its_bytes(raw: Path, server: Server, label: str) -> None:
    packed = gzip.compress(CHINA, mtime=0)
    server.answers[NAME] = [gives(packed, Content_Encoding=label)]
    remote = china(server.address(), sha256=(digest(packed),), size=len(packed))
    assert Downloads(raw).get(remote).read_bytes() == packed


def test_a_server_that_packs_on_the_way_is_asked_not_to(raw: Path, server: Server) -> None:
    def packs(handler: Any) -> None:
        accepted = "gzip" in handler.headers.get("Accept-Encoding", "gzip")
        answer = gives(gzip.compress(CHINA), Content_Encoding="gzip") if accepted else gives(CHINA)
        answer(handler)

    server.answers[NAME] = [packs]
    assert Downloads(raw).get(china(server.address())).read_bytes() == CHINA


def test_a_downloaded_file_can_be_read_by_those_who_can_read_any_new_file(raw: Path, server: Server) -> None:
    server.answers[NAME] = [gives(CHINA)]
    path = Downloads(raw).get(china(server.address()))
    (raw / "new").touch()
    assert path.stat().st_mode == (raw / "new").stat().st_mode


def test_without_a_digest_the_network_gives_the_file_too(raw: Path, server: Server) -> None:
    server.answers[NAME] = [breaks_midway, gives(CHINA)]
    assert Downloads(raw).get(Remote(NAME, (server.address(),))).read_bytes() == CHINA


# -- bounds --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "limit"), [(1000, 1_001_100), (None, 300_000)])
def test_a_server_that_never_ends_is_stopped(
    raw: Path, server: Server, monkeypatch: pytest.MonkeyPatch, size: int | None, limit: int
) -> None:
    written: list[int] = []
    original = graft.sources.download._Bounded.write

    def write(self: Any, data: bytes) -> None:
        original(self, data)
        written.append(len(data))

    monkeypatch.setattr(graft.sources.download._Bounded, "write", write)
    monkeypatch.setattr(graft.sources.download, "LARGEST", 300_000)
    server.answers[NAME] = [never_ends(200)]
    lines = failure(Downloads(raw), china(server.address(), size=size))
    assert lines[1:] == [f"{server.address()}: sends more than {limit:,} bytes"]
    assert limit - 2**16 < sum(written) <= limit
    assert server.asked[NAME] == 1
    assert not server.sent_all


def test_nothing_is_fetched_onto_a_disk_without_room(
    raw: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    server.answers[NAME] = [gives(CHINA)]
    expected = f"{raw / NAME}: needs {len(CHINA):,} bytes, and its disk has 1,000 left; make room and run again"
    assert failure(Downloads(raw), china(server.address())) == [expected]
    assert server.asked == {}
    mirror = folder(tmp_path / "mirror", CHINA)
    assert failure(Downloads(raw, [mirror]), china(size=None)) == [expected]


def test_a_disk_that_fills_up_is_a_reason_not_a_crash(
    raw: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(graft.sources.download._Bounded, "write", full)
    server.answers[NAME] = [gives(CHINA)]
    assert failure(Downloads(raw), china(server.address()))[1:] == [f"{server.address()}: No space left on device"]


@pytest.mark.parametrize("there", ["file for the raw folder", "folder for the file"])
def test_a_place_that_cannot_be_written_to_is_named(raw: Path, tmp_path: Path, server: Server, there: str) -> None:
    server.answers[NAME] = [gives(CHINA)]
    if there == "file for the raw folder":
        raw.parent.mkdir()
        raw.write_bytes(CHINA)
    else:
        (raw / NAME).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path))}\S+: (File exists|Is a directory)$"):
        Downloads(raw).get(china(server.address()))


# -- killed --------------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from graft.sources.download import Downloads
from graft.sources.remote import Remote
raw, name, address, sha256 = sys.argv[1:]
Downloads(Path(raw)).get(Remote(name, (address,), (sha256,)))
"""


def test_after_a_kill_midway_the_next_get_gives_the_same_file(raw: Path, tmp_path: Path, server: Server) -> None:
    server.answers = {NAME: [stalls_midway, gives(CHINA)], "undisturbed": [gives(CHINA)]}
    root = str(Path(graft.__file__).parents[1])
    command = [sys.executable, "-c", CHILD, str(raw), NAME, server.address(), CHINA_SHA256]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root}) as child:
        tick, deadline = threading.Event(), time.monotonic() + 30
        while not any(part.stat().st_size for part in raw.glob(".downloading/*")) and time.monotonic() < deadline:
            assert child.poll() is None
            tick.wait(0.02)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert names(raw) == [".downloading"]
    assert names(raw / ".downloading") != []  # else this test shows nothing

    again = Downloads(raw).get(china(server.address()))
    undisturbed = Downloads(tmp_path / "other").get(china(server.address("undisturbed")))
    assert again.read_bytes() == undisturbed.read_bytes() == CHINA
    assert names(raw) == names(tmp_path / "other") == [NAME]


def test_what_a_kill_left_behind_goes_even_if_the_file_is_there(raw: Path) -> None:
    folder(raw, CHINA)
    folder(raw / ".downloading", CHINA[:1000], "tmp1234")
    Downloads(raw).get(china())
    assert names(raw) == [NAME]


def test_what_a_kill_left_behind_is_not_taken_for_the_file(raw: Path, server: Server) -> None:
    folder(raw / ".downloading", FLOWER)
    server.answers[NAME] = [gives(CHINA)]
    assert Downloads(raw).get(china(server.address())).read_bytes() == CHINA


# -- what is said --------------------------------------------------------------------------------------------------------

RATE = r"\d[\d.]*[kMG]?B/s"
SIZE = "197kB"  # 196,653 bytes


@pytest.mark.parametrize(
    ("answer", "size", "line"),
    [
        (gives(CHINA), None, rf"china\.jpg: 100% of {SIZE}, {RATE}"),
        (gives_without_length, len(CHINA), rf"china\.jpg: 100% of {SIZE}, {RATE}"),
        (gives_without_length, None, rf"china\.jpg: {SIZE}, {RATE}"),
    ],
)
def test_a_quick_download_is_told_in_one_line(
    raw: Path, server: Server, monkeypatch: pytest.MonkeyPatch, answer: Answer, size: int | None, line: str
) -> None:
    logged = logging.handlers.BufferingHandler(100)
    monkeypatch.setattr(pooch.get_logger(), "handlers", [logged])
    monkeypatch.setattr(pooch.get_logger(), "level", logging.NOTSET)
    server.answers[NAME] = [answer]
    said: list[str] = []
    Downloads(raw, say=said.append).get(china(server.address(), size=size))
    assert [bool(re.fullmatch(line, text)) for text in said] == [True], said
    assert logged.buffer == []


def test_a_slow_download_is_told_in_lines_that_go_on(
    raw: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graft.sources.download.LINE_EVERY == 10
    monkeypatch.setattr(graft.sources.download, "LINE_EVERY", 1e-9)
    server.answers[NAME] = [gives(CHINA)]
    said: list[str] = []
    Downloads(raw, say=said.append).get(china(server.address()))
    told = [re.fullmatch(rf"china\.jpg: (\d+)% of {SIZE}, {RATE}", line) for line in said]
    assert [match and int(match[1]) for match in told] == [33, 67, 100, 100, 100]  # four chunks, and the end


def test_a_file_that_is_nowhere_gives_one_error_that_says_what_to_do(raw: Path, tmp_path: Path, server: Server) -> None:
    server.answers[NAME] = [gives(FLOWER)]
    mirrors = [str(tmp_path / "none"), folder(tmp_path / "empty", None), folder(tmp_path / "bad", FLOWER)]
    remote = china(server.address(), server.address("gone"), sha256=(CHINA_SHA256, "0" * 64))
    other = f"its sha256 is {FLOWER_SHA256}, not {CHINA_SHA256} or {'0' * 64}"
    assert failure(Downloads(raw, mirrors), remote) == [
        f"china.jpg (196,653 bytes, sha256 {CHINA_SHA256}): found nowhere; put it at {raw}/china.jpg, "
        "or into a folder that the study names under mirror: or the variable GRAFT_MIRROR names; tried:",
        f"{tmp_path}/none/china.jpg: no such folder",
        f"{tmp_path}/empty/china.jpg: not there",
        f"{tmp_path}/bad/china.jpg: {other}",
        f"{server.address()}: {other}",
        f"{server.address('gone')}: HTTP 404",
    ]


def test_the_error_says_only_what_is_known(raw: Path) -> None:
    (line,) = failure(Downloads(raw), Remote(NAME))
    assert line.startswith(f"china.jpg: found nowhere; put it at {raw}/china.jpg, or into a folder")
    assert line.endswith("GRAFT_MIRROR names")


def test_a_mirror_that_fails_midway_is_a_reason_and_the_next_is_tried(
    raw: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Path, beside: Path) -> None:
        beside.write_bytes(CHINA[:1000])
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "copyfile", fails)
    downloads = Downloads(raw, [folder(tmp_path / "mirror", CHINA)])
    assert failure(downloads, china())[1:] == [f"{tmp_path}/mirror/{NAME}: cannot be copied (Input/output error)"]
    server.answers[NAME] = [gives(CHINA)]
    assert downloads.get(china(server.address())).read_bytes() == CHINA


def test_planning_a_study_loads_no_http_library() -> None:
    code = "import sys, graft.sources.download; print(*{'pooch', 'requests', 'urllib3', 'tqdm'} & set(sys.modules))"
    root = str(Path(graft.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
