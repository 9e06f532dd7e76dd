"""The tables of a study as a paper has them: numbers rounded, intervals beside what they are of, in Markdown and LaTeX."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from graft.report.text import NOTHING, decimals, p_value

Record = Mapping[str, Any]

METRICS = {
    "top1": ("Top-1 accuracy (%)", True),
    "top5": ("Top-5 accuracy (%)", True),
    "log_loss": ("Log loss", False),
    "brier": ("Brier score", False),
    "balanced_accuracy": ("Balanced accuracy (%)", True),
    "macro_f1": ("Macro F1 (%)", True),
    "calibration_error": ("Calibration error (%)", True),
}
"""What each metric is called, and whether it is shown as a percentage."""
LOSS_DIGITS = 3
SHARE_DIGITS = 2  # of a published percentage, at most


class Column(NamedTuple):
    """A column: its heading, the cell of a row of the table, and whether it is of text, at the left."""

    heading: str
    cell: Callable[[Record], str]
    text: bool = False


class Typeset(NamedTuple):
    """A table as text: headings, whether each column is of text, and the cells row by row."""

    headings: list[str]
    text: list[bool]
    rows: list[list[str]]


# -- cells ---------------------------------------------------------------------------------------------------------------


def _number(value: float, digits: int, scale: float = 1, sign: str = "") -> str:
    """A number of so many decimals, nothing if it is NaN; ``sign`` is ``+`` where positive ones have one."""
    if math.isnan(value):
        return ""
    text = f"{scale * value:{sign}z.{digits}f}"
    return text.replace("inf", "∞").replace("-", "\N{MINUS SIGN}")


def _estimate(value: str, sd: str = "", low: str = "", high: str = "") -> str:
    """``value ± sd [low, high]``, without what is empty."""
    spread = f" ± {sd}" if sd and value else ""
    interval = f" [{low}, {high}]" if low and high else ""
    return f"{value}{spread}{interval}"


def _digits(metric: str, images: float) -> tuple[int, float]:
    """The decimals of a metric of so many images, and what it is multiplied by."""
    share = METRICS[metric][1]
    return (decimals(0 if math.isnan(images) else int(images)), 100) if share else (LOSS_DIGITS, 1)


def _as_given(row: Record) -> str:
    """A published number, which others rounded: no more decimals than they gave."""
    share = METRICS[row["metric"]][1]
    text = _number(row["published"], SHARE_DIGITS if share else LOSS_DIGITS, 100 if share else 1)
    return text.rstrip("0").rstrip(".")


# -- columns -------------------------------------------------------------------------------------------------------------


def _text(name: str, heading: str) -> Column:
    return Column(heading, lambda row: str(row[name]), text=True)


def _count(name: str, heading: str) -> Column:
    return Column(heading, lambda row: _number(row[name], 0))


def _metric_name() -> Column:
    return Column("Metric", lambda row: METRICS[row["metric"]][0], text=True)


def _of_metric(metric: str, suffix: str = "") -> Column:
    """A column of a metric that the table has: its value (``<metric><suffix>``), and what it has of sd and interval."""

    def cell(row: Record) -> str:
        digits, scale = _digits(metric, row["images"])
        names = (f"{metric}{suffix}", f"{metric}_sd", f"{metric}_low", f"{metric}_high")
        return _estimate(*(_number(row.get(name, math.nan), digits, scale) for name in names))

    return Column(METRICS[metric][0], cell)


def _over_images(metric: str) -> Column:
    """A column of the interval of a model's metric over other seeds and images at once."""

    def cell(row: Record) -> str:
        digits, scale = _digits(metric, row["images"])
        ends = (row.get(f"{metric}_boot_{end}", math.nan) for end in ("low", "high"))
        return _estimate("", "", *(_number(end, digits, scale) for end in ends)).strip()

    return Column(f"{METRICS[metric][0]}, seeds and images", cell)


def _scaled(heading: str, *names: str, of: str = "images", sign: str = "") -> Column:
    """A column of a table whose rows are of one metric each: value, sd and interval (empty names for what it lacks)."""

    def cell(row: Record) -> str:
        digits, scale = _digits(row["metric"], row[of])
        return _estimate(*(_number(row[name], digits, scale, sign) if name else "" for name in names))

    return Column(heading, cell)


def _p(name: str, heading: str) -> Column:
    return Column(heading, lambda row: "" if math.isnan(row[name]) else p_value(row[name]))


def _published() -> Column:
    def cell(row: Record) -> str:
        digits, scale = _digits(row["metric"], row["images"])
        return _estimate(_as_given(row), "", *(_number(row[end], digits, scale) for end in ("low", "high")))

    return Column("Published", cell)


def _metrics(table: pd.DataFrame) -> list[Column]:
    means = [_of_metric(metric, "_mean") for metric in METRICS if f"{metric}_mean" in table]
    own = [_of_metric(metric) for metric in METRICS if metric in table]
    return means + own + [_over_images(metric) for metric in METRICS if f"{metric}_boot_low" in table]


_PLACE = (_text("dataset", "Data set"),)
_SPLIT = (_text("split", "Split"), _count("images", "Images"))
COLUMNS: dict[str, tuple[Column, ...]] = {
    "runs": (*_PLACE, _text("model", "Model"), _count("seed", "Seed"), *_SPLIT),
    "models": (*_PLACE, _text("model", "Model"), _count("seeds", "Seeds"), *_SPLIT),
    "ensembles": (
        *(*_PLACE, _text("ensemble", "Ensemble"), _text("method", "Method"), _count("members", "Members")),
        *_SPLIT,
    ),
    "pairs": (
        *(*_PLACE, _metric_name(), _text("first", "First"), _text("second", "Second"), _count("images", "Images")),
        *(_count("first_seeds", "Seeds of first"), _count("second_seeds", "Seeds of second")),
        *(_scaled("Value of first", "first_value"), _scaled("Value of second", "second_value")),
        _scaled("Difference", "difference", "", "difference_low", "difference_high", sign="+"),
        *(_p("p", "p"), _p("p_holm", "p (Holm)")),
        *(_count("only_first", "Only first right"), _count("only_second", "Only second right")),
        *(_p("mcnemar_p", "p (McNemar)"), _p("mcnemar_p_holm", "p (McNemar, Holm)")),
        _text("verdict", "The first is"),
    ),
    "ranks": (
        *(_metric_name(), _text("name", "Name"), Column("Mean rank", lambda row: _number(row["mean_rank"], 2))),
        *(_count("datasets", "Data sets"), _count("names", "Names")),
        *(Column("Statistic (Friedman)", lambda row: _number(row["statistic"], 2)), _p("p", "p (Friedman)")),
        Column("Critical difference", lambda row: _number(row["critical_difference"], 2)),
    ),
    "published": (
        *(*_PLACE, _text("name", "Name"), _text("split", "Split"), _metric_name()),
        *(_published(), _count("images", "Published images")),
        *(_scaled("Ours", "ours", "ours_sd", of="our_images"), _count("runs", "Runs")),
        _count("our_images", "Our images"),
        _scaled("Difference", "difference", "", "difference_low", "difference_high", of="our_images", sign="+"),
        _text("verdict", "Ours is"),
    ),
}
"""The columns of each table; of runs, models and ensembles those before the metrics."""


def typeset(name: str, table: pd.DataFrame) -> Typeset:
    """The table ``name`` (``runs``, ``models``, ``ensembles``, ``pairs``, ``ranks`` or ``published``) as text.

    ``table`` is as :mod:`graft.tables`, :mod:`graft.comparisons` or :mod:`graft.published` has it. Shares become
    percentages with one decimal, or two from 5,000 images on, losses have three decimals, and a cell reads
    ``mean ± sd [low, high]``, of which it leaves out what is not known. A column in which no row says anything is left out;
    in the others a dash stands for nothing.
    """
    columns = [*COLUMNS[name], *(_metrics(table) if name in ("runs", "models", "ensembles") else [])]
    records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    cells = [[column.cell(row) for row in records] for column in columns]
    kept = [(column, of) for column, of in zip(columns, cells, strict=True) if any(of) or not records]
    return Typeset(
        [column.heading for column, _ in kept],
        [column.text for column, _ in kept],
        [[cell or NOTHING for cell in row] for row in zip(*(of for _, of in kept), strict=True)],
    )


# -- markup --------------------------------------------------------------------------------------------------------------

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", "±": r"$\pm$", "\N{MINUS SIGN}": "$-$", "∞": r"$\infty$", NOTHING: "--"},
    **{'"': r"{\char34}", "'": "{'}", "`": "{`}", "*": "{*}", "[": "{[}", "]": "{]}"},
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~$#&!])")


def _line(text: str) -> str:
    """Text on one line, without characters that are not printed."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def latex_text(text: str) -> str:
    """Text as LaTeX prints it, whatever characters are in it; brackets and stars are no options of a line's end."""
    return "".join(_LATEX.get(letter, letter) for letter in _line(text))


def markdown_text(text: str) -> str:
    """Text as Markdown shows it, whatever characters are in it."""
    return _MARKDOWN.sub(r"\\\1", _line(text))


def as_latex(table: Typeset) -> str:
    """A ``tabular`` with the rules of the package ``booktabs``, to be read into a table of a document by ``\\input``."""

    def line(cells: Iterable[str]) -> str:
        return f"{' & '.join(map(latex_text, cells))} \\\\\n"

    alignment = "".join("l" if text else "r" for text in table.text)
    rows = "".join(line(row) for row in table.rows)
    return (
        "% \\usepackage{booktabs}\n"
        f"\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{line(table.headings)}\\midrule\n{rows}\\bottomrule\n"
        "\\end{tabular}\n"
    )


def as_markdown(table: Typeset) -> str:
    """A table with pipes, as GitHub's Markdown and Pandoc read it."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |\n"

    rules = line(":--" if text else "--:" for text in table.text)
    rows = "".join(line(map(markdown_text, row)) for row in table.rows)
    return line(map(markdown_text, table.headings)) + rules + rows
