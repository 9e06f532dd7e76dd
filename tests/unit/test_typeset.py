"""Tables for a paper say what the CSV files say, rounded, and names are text in Markdown and in LaTeX."""

import math
import re
from html import unescape
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from graft.comparisons import PAIRS, RANKS
from graft.metrics import METRICS as MEASURED
from graft.published import COLUMNS as PUBLISHED
from graft.tables import ENSEMBLE, RUN, VALUES
from graft.typeset import COLUMNS, METRICS, Typeset, as_latex, as_markdown, latex_text, markdown_text, typeset

NAN = math.nan
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
NASTY = ["50% & more_$x$", "{a}|b|*c*", "[x](y) <b>~^\\", '#1 "it\'s" `code`', "a\nb\x00c"]

RUNS = pd.DataFrame(
    [("digits", "simcnn", 0, "test", 361, 0.8365651, 0.79, 0.871, 1.65312889, NAN, NAN)],
    columns=[*RUN, "split", "images", "top1", "top1_low", "top1_high", "log_loss", "log_loss_low", "log_loss_high"],
)
MODELS = pd.DataFrame(
    {
        **{"dataset": "cifar10", "model": ["a_b", "c"], "split": "test", "seeds": [5, 1], "images": 10000},
        **{"top1_mean": [0.91234, 0.5], "top1_sd": [0.00127, NAN]},
        **{"top1_low": [0.90001, NAN], "top1_high": [0.92, NAN]},
        **{"top1_boot_low": [0.89, NAN], "top1_boot_high": [0.93, NAN]},
        **{"log_loss_mean": [0.28, math.inf], "log_loss_sd": [0.0101, NAN]},
        **{"log_loss_low": NAN, "log_loss_high": NAN, "log_loss_boot_low": NAN, "log_loss_boot_high": NAN},
    }
)


def pair(**values: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(PAIRS, NAN)
    return (
        row | {"dataset": "d", "first": "x", "second": "y", "images": 361, "first_seeds": 2, "second_seeds": 1} | values
    )


PAIR_ROWS = [
    pair(
        **{"metric": "top1", "first_value": 0.8, "second_value": 0.85, "difference": -0.05, "difference_low": -0.1},
        **{"difference_high": 0.0001, "p": 0.0004, "p_holm": 0.05, "only_first": 3, "only_second": 21},
        **{"mcnemar_p": 1.0, "mcnemar_p_holm": 1.0, "verdict": "not distinguishable"},
    ),
    pair(metric="log_loss", first_value=0.5, second_value=0.25, difference=0.25, p=0.01, p_holm=0.02, verdict="higher"),
]


def cells(name: str, table: pd.DataFrame) -> list[dict[str, str]]:
    done = typeset(name, table)
    return [dict(zip(done.headings, row, strict=True)) for row in done.rows]


# -- numbers -------------------------------------------------------------------------------------------------------------


def test_a_run_has_its_intervals_beside_its_values() -> None:
    (row,) = cells("runs", RUNS)
    assert row == {
        **{"Data set": "digits", "Model": "simcnn", "Seed": "0", "Split": "test", "Images": "361"},
        **{"Top-1 accuracy (%)": "83.7 [79.0, 87.1]", "Log loss": "1.653"},
    }


def test_a_model_is_mean_sd_and_interval_as_far_as_they_are_known() -> None:
    first, second = cells("models", MODELS)
    assert first["Top-1 accuracy (%)"] == "91.23 ± 0.13 [90.00, 92.00]"  # 10,000 images: two decimals
    assert first["Top-1 accuracy (%), seeds and images"] == "[89.00, 93.00]"
    assert (first["Log loss"], second["Log loss"]) == ("0.280 ± 0.010", "∞")
    assert second["Top-1 accuracy (%)"] == "50.00"
    assert second["Top-1 accuracy (%), seeds and images"] == DASH
    assert "Log loss, seeds and images" not in first, "a column that says nothing"


def test_pairs_are_in_the_units_of_their_metric() -> None:
    first, second = cells("pairs", pd.DataFrame(PAIR_ROWS))
    assert first["Value of first"] == "80.0"
    assert first["Difference"] == f"{MINUS}5.0 [{MINUS}10.0, +0.0]"
    assert (first["p"], first["p (Holm)"], first["p (McNemar)"]) == ("<0.001", "0.050", "1.000")
    assert (first["Only first right"], first["The first is"]) == ("3", "not distinguishable")
    assert (second["Metric"], second["Difference"], second["p (McNemar)"]) == ("Log loss", "+0.250", DASH)


def test_ranks_have_two_decimals() -> None:
    table = pd.DataFrame([("top1", "c4.5", 3.1429, 14, 4, 9.284, 0.0257, 1.2536)], columns=[*RANKS])
    (row,) = cells("ranks", table)
    assert list(row.values()) == ["Top-1 accuracy (%)", "c4.5", "3.14", "14", "4", "9.28", "0.026", "1.25"]


def test_published_numbers_keep_the_digits_that_they_came_with() -> None:
    row = dict.fromkeys(PUBLISHED, NAN) | {
        "dataset": "d",
        "name": "n",
        "split": "test",
        "metric": "top1",
        "remark": "r",
    }
    row |= {"published": 0.4, "low": 0.3904, "high": 0.4096, "images": 10000, "ours": 0.512, "ours_sd": 0.01, "runs": 3}
    row |= {
        "our_images": 361,
        "difference": 0.112,
        "difference_low": 0.06,
        "difference_high": 0.16,
        "verdict": "higher",
    }
    loss = row | {"metric": "log_loss", "published": 52.453, "low": NAN, "high": NAN, "ours": 6.01, "verdict": ""}
    first, second = cells("published", pd.DataFrame([row, loss]))
    assert first["Published"] == "40 [39.04, 40.96]"
    assert (first["Ours"], first["Difference"]) == ("51.2 ± 1.0", "+11.2 [+6.0, +16.0]")
    assert (second["Published"], second["Ours is"]) == ("52.453", DASH)


def test_every_metric_of_the_tables_has_a_column() -> None:
    assert METRICS.keys() == MEASURED.keys()
    every = {name: 0.5 for name in VALUES if name not in ("split", "images")}
    table = pd.DataFrame([{"dataset": "d", "model": "m", "seed": 0, "split": "test", "images": 9, **every}])
    assert typeset("runs", table).headings[5:] == [heading for heading, _ in METRICS.values()]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_without_rows_has_headings(name: str) -> None:
    columns = {"ensembles": (*ENSEMBLE, *VALUES), "pairs": PAIRS}.get(name, ("images",))
    done = typeset(name, pd.DataFrame(columns=[*columns]))
    assert done.rows == [] and len(done.headings) >= len(COLUMNS[name])
    assert as_latex(done).count("\\\\") == 1
    assert len(as_markdown(done).splitlines()) == 2


# -- markup --------------------------------------------------------------------------------------------------------------


def parsed(markdown: str) -> list[list[str]]:
    """The cells of the table that a Markdown parser finds, as text."""
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)] for row in rows]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_markdown_shows_every_text_as_it_is_on_one_line(names: list[str]) -> None:
    shown = [" ".join("".join(c if c.isprintable() else " " for c in name).split()) for name in names]
    table = Typeset(["Name"] * len(names), [True] * len(names), [names])
    assert parsed(as_markdown(table)) == [["Name"] * len(names), shown]


@pytest.mark.parametrize("name", NASTY)
def test_latex_prints_a_name_as_it_is(name: str) -> None:
    """What LaTeX makes of the commands that stand for special characters, undone by hand."""
    text = latex_text(name)
    for command, printed in [
        *((f"\\{sign}", f"\0{ord(sign)};") for sign in "&%$#_{}"),
        *((r"\textbackslash{}", "\\"), (r"\textasciitilde{}", "~"), (r"\textasciicircum{}", "^"), (r"{\char34}", '"')),
        *((f"${sign}$", sign) for sign in "<>|"),
        *((f"{{{sign}}}", sign) for sign in "'`*[]"),
    ]:
        text = text.replace(command, printed)
    assert not re.search(r"[&%$#_{}]", text), "a character that LaTeX would obey"
    assert re.sub(r"\0(\d+);", lambda found: chr(int(found[1])), text) == " ".join(name.replace("\0", " ").split())


def test_latex_escapes_as_pandas_does() -> None:
    text = "a & b % c $ d # e _ f { g }"
    theirs = pd.DataFrame({"x": [text]}).style.format(escape="latex").hide().hide(axis="columns").to_latex()
    assert latex_text(text) in theirs


def test_latex_is_a_tabular_with_booktabs_rules() -> None:
    table = Typeset(["Model", "Top-1 (%)"], [True, False], [["a_b", f"1.5 ± 0.1 [{MINUS}1.0, 2.0]"], ["c", DASH]])
    assert as_latex(table) == (
        "% \\usepackage{booktabs}\n"
        "\\begin{tabular}{lr}\n\\toprule\nModel & Top-1 (\\%) \\\\\n\\midrule\n"
        "a\\_b & 1.5 $\\pm$ 0.1 {[}$-$1.0, 2.0{]} \\\\\nc & -- \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_markdown_aligns_numbers_at_the_right() -> None:
    table = Typeset(["Model", "Top-1 (%)"], [True, False], [["a_b", "1.5"]])
    assert as_markdown(table) == "| Model | Top-1 (%) |\n| :-- | --: |\n| a\\_b | 1.5 |\n"
    assert markdown_text("a|b") == "a\\|b"
