"""Files that are whole or absent: written beside and renamed, recorded by checksum, checked when read."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.errors import UserError

NAMES = (
    *("dataset", "model", "ensemble", "method", "class_name", "reason"),
    *("sample_id", "source", "split", "copy", "copy_source", "copy_split"),
)
"""Columns that hold text, whatever it looks like."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the final name only if the block ends without an error.

    What a killed writer of the same file left behind is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = re.compile(rf"\.\d+\.{re.escape(path.name)}")
    for left in filter(lambda found: ours.fullmatch(found.name), path.parent.iterdir()):
        left.unlink(missing_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """The plain values in a JSON file.

    Raises:
        UserError: the file holds something else.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path}: not JSON ({error}); delete it and run snakemake again, which makes it anew"
        ) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write plain values as JSON that a person can read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: str | Path, rows: Any) -> None:
    """Write a table, or one mapping per row, as CSV, numbers with nine significant digits."""
    import pandas as pd  # here, because a study is planned without it

    write_text(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def read_csv(path: str | Path) -> Any:
    """A table that :func:`write_csv` wrote; names stay text, whatever they look like, and only an empty field is NaN."""
    import pandas as pd

    return pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""])


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_sums(sums: str | Path, paths: Iterable[str | Path]) -> None:
    """Write the checksums of ``paths``, files beside ``sums``, in the format of ``sha256sum``."""
    with replacing(sums) as beside:
        beside.write_text("".join(f"{sha256(path)}  {Path(path).name}\n" for path in paths), encoding="utf-8")


def _read_sums(sums: Path) -> dict[str, str]:
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or not all(re.fullmatch(r"[0-9a-f]{64}  \S.*", line) for line in lines):
        raise UserError(
            f"{sums}: damaged: not a list of checksums; delete it and run snakemake again, which makes it anew"
        )
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _check(path: Path, sums: Path, digest: str | None, delete: Path) -> Path:
    again = f"delete {delete} and run snakemake again, which makes it anew"
    if not path.exists():
        raise UserError(f"{path}: missing; {again.removeprefix(f'delete {path} and ')}")
    if digest is None:
        raise UserError(f"{path}: no checksum of it is recorded in {sums.name} beside it; {again}")
    if digest != sha256(path):
        raise UserError(f"{path}: damaged: its sha256 is not the one in {sums.name} beside it; {again}")
    return path


def verified(path: str | Path) -> Path:
    """``path`` itself, once its bytes agree with the checksum recorded beside it.

    A job with a folder of its own records SHA256SUMS there; jobs that share a folder record ``<stem>.sha256`` each.

    Raises:
        UserError: the file or its checksum is missing, or they disagree.
    """
    path = Path(path)
    own = path.with_name("SHA256SUMS")
    sums = own if own.exists() else path.with_suffix(".sha256")
    return _check(path, sums, _read_sums(sums).get(path.name) if sums.exists() else None, path)


def verified_all(sums: str | Path) -> list[Path]:
    """Every file that ``sums``, a file as :func:`record_sums` writes it, lists; checked as by :func:`verified`."""
    sums = Path(sums)
    return [_check(sums.parent / name, sums, digest, sums) for name, digest in _read_sums(sums).items()]
