import json
import subprocess
from pathlib import Path

import pytest

from graft.errors import UserError
from graft.files import (
    read_csv,
    read_json,
    record_sums,
    replacing,
    sha256,
    verified,
    verified_all,
    write_csv,
    write_json,
    write_text,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as beside:
        beside.write_text("whole")
        assert not path.exists()
        assert beside.parent == path.parent
        assert beside.suffix == path.suffix
    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as beside:
        beside.write_text("ha")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".123.a.txt", ".123.b.txt", ".123.b.a.txt", "123.a.txt", ".keep.a.txt"):
        (tmp_path / name).write_text("left")
    write_text(tmp_path / "a.txt", "new")
    assert names_in(tmp_path) == [".123.b.a.txt", ".123.b.txt", ".keep.a.txt", "123.a.txt", "a.txt"]


def test_text_is_utf8_without_translation(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def test_json_reads_back(tmp_path: Path) -> None:
    value = {"name": "Blüte", "values": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "Blüte" in text
    assert text.endswith("}\n")


def test_csv_has_nine_digits_and_unix_lines(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"epoch": 1, "loss": 1 / 3}, {"epoch": 2, "loss": None}])
    assert (tmp_path / "a.csv").read_bytes() == b"epoch,loss\n1,0.333333333\n2,\n"


def test_sha256_of_the_standards_example(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == ABC


@pytest.fixture
def recorded(tmp_path: Path) -> list[Path]:
    """Two files beside their checksums."""
    paths = [tmp_path / "a.txt", tmp_path / "b c.bin"]
    paths[0].write_bytes(b"abc")
    paths[1].write_bytes(bytes(range(256)))
    record_sums(tmp_path / "SHA256SUMS", paths)
    return paths


def test_sums_are_what_sha256sum_checks(recorded: list[Path]) -> None:
    folder = recorded[0].parent
    assert (folder / "SHA256SUMS").read_text().splitlines()[0] == f"{ABC}  a.txt"
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == "a.txt: OK\nb c.bin: OK\n"


def test_what_sha256sum_writes_is_verified(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    (tmp_path / "SHA256SUMS").write_bytes(subprocess.check_output(["sha256sum", "a.txt"], cwd=tmp_path))
    assert verified(tmp_path / "a.txt") == tmp_path / "a.txt"


def test_recorded_files_are_verified_alone_and_together(recorded: list[Path]) -> None:
    assert verified(recorded[1]) == recorded[1]
    assert verified_all(recorded[0].parent / "SHA256SUMS") == recorded


def test_a_damaged_file_is_named_with_what_to_do(recorded: list[Path]) -> None:
    recorded[0].write_bytes(b"abd")
    sums = recorded[0].parent / "SHA256SUMS"
    damaged = f"{recorded[0]}: damaged: its sha256 is not the one in SHA256SUMS beside it"
    with pytest.raises(UserError) as error:
        verified(recorded[0])
    assert str(error.value) == f"{damaged}; delete {recorded[0]} and run snakemake again, which makes it anew"
    with pytest.raises(UserError) as error:
        verified_all(sums)
    assert str(error.value) == f"{damaged}; delete {sums} and run snakemake again, which makes it anew"


def test_a_missing_file_is_named_with_what_to_do(recorded: list[Path]) -> None:
    recorded[0].unlink()
    with pytest.raises(UserError) as error:
        verified(recorded[0])
    assert str(error.value) == f"{recorded[0]}: missing; run snakemake again, which makes it anew"


def test_a_file_without_a_checksum_is_not_read(recorded: list[Path], tmp_path: Path) -> None:
    late = tmp_path / "late.txt"
    late.write_text("late")
    with pytest.raises(UserError, match=r"late\.txt: no checksum of it is recorded in SHA256SUMS beside it; delete "):
        verified(late)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"abc  a.txt\n", b"\n"])
def test_damaged_checksums_are_named(recorded: list[Path], content: bytes) -> None:
    sums = recorded[0].parent / "SHA256SUMS"
    sums.write_bytes(content)
    for check in (lambda: verified(recorded[0]), lambda: verified_all(sums)):
        with pytest.raises(UserError) as error:
            check()
        assert str(error.value).startswith(f"{sums}: damaged: not a list of checksums; delete it and run snakemake")


def test_jobs_that_share_a_folder_have_checksums_of_their_own(tmp_path: Path) -> None:
    stems = ["confusion_matrix.digits.small", "confusion_matrix.digits.probe"]
    for stem in stems:
        (tmp_path / f"{stem}.png").write_text(stem)
        record_sums(tmp_path / f"{stem}.sha256", [tmp_path / f"{stem}.png"])
    for stem in stems:
        assert verified(tmp_path / f"{stem}.png").read_text() == stem
    (tmp_path / f"{stems[0]}.png").write_text(stems[1])
    with pytest.raises(UserError, match=r"its sha256 is not the one in confusion_matrix\.digits\.small\.sha256"):
        verified(tmp_path / f"{stems[0]}.png")


def test_sums_of_a_missing_file_leave_no_sums(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        record_sums(tmp_path / "SHA256SUMS", [tmp_path / "absent"])
    assert names_in(tmp_path) == []


def test_csv_keeps_a_weight_decay_of_1e_10(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"dataset": "102", "options.weight_decay": 1.25e-10, "choice": "None"}])
    table = read_csv(tmp_path / "a.csv")
    assert table.to_dict("records") == [{"dataset": "102", "options.weight_decay": 1.25e-10, "choice": "None"}]


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"half":')
    with pytest.raises(UserError, match=r"a\.json: not JSON .*delete it"):
        read_json(tmp_path / "a.json")
