"""Figures show the values that they are given, whatever the names, and equal figures are equal files."""

import ast
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState
from PIL import Image
from pydantic import ValidationError

from graft.config import Study
from graft.config.figures import Figures
from graft.errors import UserError
from graft.figures import tuning
from graft.figures.confusion_matrix import confusion_matrix
from graft.figures.critical_difference import alike, critical_difference
from graft.figures.growth import growth
from graft.figures.learning_curves import learning_curves
from graft.figures.model_comparison import model_comparison
from graft.figures.sample_grid import pick, sample_grid
from graft.figures.style import MEASURES, PALETTES, Style, colours, label, letters, look, save_figure, shorten
from graft.figures.tuning import ABSENT, FEWEST_FOR_IMPORTANCE, FIGURES, LEGEND, TITLES, Search, rebuilt
from graft.figures.words import WORDS, translated
from graft.files import write_csv

NASTY = [
    "$\\frac{$",
    "<script>alert(1)</script>",
    "a & b\x00\n\x1bc",
    "a name of very many letters, too many to show",
]

ROOT = Path(__file__).parents[2]
EVERY_FORMAT = Style(formats=("png", "svg", "pdf"))


def history(*losses: float) -> pd.DataFrame:
    loss = np.array(losses)
    columns = {"loss": loss, "accuracy": 1 - loss / 10, "val_loss": loss * 1.1, "val_accuracy": 0.9 - loss / 10}
    return pd.DataFrame({"epoch": np.arange(1, len(loss) + 1), **columns, "learning_rate": 1e-3})


RUNS = pd.DataFrame(
    {
        "dataset": "digits",
        "model": ["low", "low", "high", "high"],
        "seed": [0, 1, 0, 1],
        "split": "test",
        "images": 100,
        "top1": [0.7, 0.8, 0.9, 0.92],
        "log_loss": [0.9, 0.8, 0.3, 0.2],
    }
)
ENSEMBLES = pd.DataFrame(
    {"dataset": "digits", "ensemble": ["vote"], "split": "test", "images": 100, "top1": [0.85], "log_loss": [0.1]}
)
GROWTH = pd.DataFrame(
    {
        "members": [1, 2, 3],
        "subsets": [3, 3, 1],
        "mean": [0.7, 0.75, 0.8],
        "lowest": [0.6, 0.72, 0.8],
        "highest": [0.79, 0.78, 0.8],
    }
)


def ranks(means: list[float], distance: float, names: list[str] | None = None) -> pd.DataFrame:
    """A table of ranks over 14 data sets."""
    facts = {"metric": "top1", "datasets": 14, "names": len(means), "statistic": 9.28, "p": 0.0257}
    return pd.DataFrame(
        {"name": names or [f"m{k}" for k in range(len(means))], "mean_rank": means, "critical_difference": distance}
    ).assign(**facts)


SPACE: dict[str, BaseDistribution] = {
    "train.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "train.optimizer.name": CategoricalDistribution(["adam", "$sgd$", "<script>$x$</script>"]),
    "train.optimizer.momentum": FloatDistribution(0, 0.3, step=0.1),  # of one optimizer alone
    "options.bias": CategoricalDistribution([True, False]),
    "head.dense[0]": IntDistribution(16, 1024, log=True),
    "options.never_used": CategoricalDistribution(["a", "b"]),
}


def search(rows: list[dict[str, Any]], folder: Path, metric: str = "val_loss", space: Any = SPACE) -> Search:
    """A search from its files, of which the workflow would write such: ``rows`` as in trials.csv, and ``reported``."""
    reported = [
        {"trial": row["trial"], "epoch": epoch, "value": value}
        for row in rows
        for epoch, value in enumerate(row.get("reported", []), start=1)
    ]
    known = {"epochs": 0, "start": False, **dict.fromkeys(space)}
    write_csv(folder / "trials.csv", [known | {k: v for k, v in row.items() if k != "reported"} for row in rows])
    write_csv(folder / "values.csv", pd.DataFrame(reported, columns=["trial", "epoch", "value"]))
    described = {
        "metric": metric,
        "direction": "maximize" if metric == "val_accuracy" else "minimize",
        "distributions": {name: json.loads(distribution_to_json(found)) for name, found in space.items()},
    }
    trials = pd.read_csv(folder / "trials.csv", dtype=str, keep_default_na=False)
    return rebuilt(trials, pd.read_csv(folder / "values.csv"), described)


def trial(number: int, state: str, value: float | None, *reported: float, **params: Any) -> dict[str, Any]:
    row = {"trial": number, "state": state, "value": value, "epochs": len(reported), "reported": reported}
    return row | {name: params[key] for key, name in zip("abcde", SPACE, strict=False) if key in params}


TRIALS = [
    trial(0, "complete", 0.5, 2.0, 0.5, a=1e-5, b="adam", d=True, e=16),
    trial(1, "pruned", 0.1, 0.1, a=1e-4, b="$sgd$", c=0.3, d=False, e=700),
    trial(3, "complete", 0.3, 1.0, 0.3, a=1e-3, b="adam", d=True, e=64),  # the one between failed
    trial(4, "complete", 0.4, 1.5, 0.4, a=1e-2, b="$sgd$", c=0.1, d=True, e=256),
    trial(5, "pruned", None, a=1e-1, d=False, e=32),
]


def searched(number: int, space: Mapping[str, BaseDistribution], objective: Any, **options: Any) -> Any:
    """An Optuna study of random trials, and its rows as in trials.csv."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), **options)
    for _ in range(number):
        asked = study.ask(dict(space))
        study.tell(asked, objective(asked.params))
    optuna.logging.set_verbosity(level)
    return study, [
        {"trial": done.number, "state": "complete", "value": done.value, **done.params} for done in study.trials
    ]


def made(folder: Path) -> dict[str, tuple[Figure, pd.DataFrame]]:
    images = np.random.default_rng(0).integers(0, 255, (8, 12, 12, 3), dtype=np.uint8)
    return {
        "learning_curves.digits.simcnn": learning_curves({0: history(2, 1, 0.5), 1: history(2, 0.9)}, "Curves of $x$"),
        "confusion_matrix.digits.v1.5": confusion_matrix(np.arange(16).reshape(4, 4), NASTY, "Confusion of $x$"),
        "sample_grid.digits": sample_grid(images, NASTY * 2, "Samples of $x$"),
        "model_comparison.digits": model_comparison(RUNS, ENSEMBLES, "top1", "Comparison of $x$"),
        "critical_difference.top1": critical_difference(ranks([2.0, 1.2, 3.5, 3.3], 1.5, NASTY), "Ranks of $x$"),
        "growth.digits.vote": growth(GROWTH, "Growth of $x$"),
        **{f"{kind}.digits.simcnn": draw(search(tuned(), folder), "Tuning of $x$") for kind, draw in FIGURES.items()},
    }


def tuned() -> list[dict[str, Any]]:
    """Enough trials for every figure to show something."""
    other = trial(20, "complete", 0.6, 1.0, 0.6, a=1e-2, b="<script>$x$</script>", d=True, e=16)
    more = [
        trial(k, "complete", 0.35 + k % 7 / 50, 1.0, 0.9, a=10 ** -(2 + k % 3), b="adam", d=k % 2 > 0, e=16 * k)
        for k in range(6, 6 + FEWEST_FOR_IMPORTANCE)
    ]
    return [*TRIALS, *more, other]


def texts(svg: Path) -> list[str]:
    return [
        "".join(node.itertext()).strip() for node in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def points(figure: Figure, axes: int = 0) -> dict[str, list[tuple[float, float]]]:
    """The finite points of each labelled line of one panel."""
    lines = figure.axes[axes].get_lines()
    return {
        str(line.get_label()): [(x, y) for x, y in np.asarray(line.get_xydata(), float) if np.isfinite([x, y]).all()]
        for line in lines
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    with look(EVERY_FORMAT):
        for stem, (figure, table) in made(tmp_path_factory.mktemp("search")).items():
            save_figure(figure, table, folder / stem)
    return folder


def test_each_figure_is_in_every_format_under_its_whole_stem(saved: Path) -> None:
    others = ["learning_curves.digits.simcnn", "confusion_matrix.digits.v1.5", "sample_grid.digits"]
    others += ["model_comparison.digits", "critical_difference.top1", "growth.digits.vote"]
    stems = [*others, *(f"{kind}.digits.simcnn" for kind in FIGURES)]
    assert {path.name for path in saved.iterdir()} == {
        f"{s}.{ending}" for s in stems for ending in ("png", "svg", "pdf", "csv")
    }


def test_equal_figures_are_equal_files_in_another_process(saved: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys; from pathlib import Path; from graft.figures.style import look, save_figure\n"
        f"these = runpy.run_path({__file__!r})\n"
        "with look(these['EVERY_FORMAT']):\n"
        "    for stem, figure in these['made'](Path(sys.argv[2])).items(): save_figure(*figure, Path(sys.argv[1]) / stem)"
    )
    (tmp_path / "search").mkdir()
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    folders = [tmp_path, tmp_path / "search"]
    subprocess.run([sys.executable, "-c", code, *folders], check=True, env=environment, cwd=tmp_path)
    for path in saved.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_names_are_text_in_svg_and_never_markup_or_formulas(saved: Path) -> None:
    ranked = texts(saved / "critical_difference.top1.svg")
    assert {"$\\frac{$  2.00", "<script>alert(1)</script>  1.20", "3.50  a & b c", "Ranks of $x$"} <= set(ranked)
    for stem in ("confusion_matrix.digits.v1.5", "sample_grid.digits"):
        shown = texts(saved / f"{stem}.svg")  # parses, so it is well-formed
        assert {"$\\frac{$", "<script>alert(1)<…", "a & b c"} <= set(shown)
        assert "<script" not in (saved / f"{stem}.svg").read_text()
        assert not any(name.startswith("a name of very many letters, too") for name in shown)
    assert "Curves of $x$" in texts(saved / "learning_curves.digits.simcnn.svg")
    for kind in ("tuning_slice", "tuning_parallel_coordinates"):
        assert {"$sgd$", "…pt>$x$</script>"} <= set(texts(saved / f"{kind}.digits.simcnn.svg"))
    for path in saved.glob("*.svg"):
        assert "<script" not in path.read_text()
        assert not [text for text in texts(path) if "mathdefault" in text], "an exponent as the formula that it is not"


def test_figures_need_no_plotting_state_and_no_framework() -> None:
    code = (
        "import sys, graft.figures.learning_curves, graft.figures.confusion_matrix, graft.figures.sample_grid\n"
        "import graft.figures.model_comparison, graft.figures.critical_difference, graft.figures.growth\n"
        "print({'matplotlib.pyplot', 'sklearn', 'keras', 'scipy', 'optuna'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "set()"


def test_learning_curves_hold_every_history() -> None:
    histories = {3: history(2, 1, 0.5), 7: history(2.5, 1.5)}
    _, table = learning_curves(histories, "t")
    for seed, expected in histories.items():
        got = table[table["seed"] == seed].drop(columns="seed").reset_index(drop=True)
        pd.testing.assert_frame_equal(got, expected)


def test_learning_curves_are_logarithmic_only_where_loss_spans_much() -> None:
    assert learning_curves({0: history(2, 0.001)}, "t")[0].axes[0].get_yscale() == "log"
    assert learning_curves({0: history(2, 1)}, "t")[0].axes[0].get_yscale() == "linear"
    assert learning_curves({0: history(2, 0)}, "t")[0].axes[0].get_yscale() == "linear"


def test_learning_curves_of_one_seed_and_one_epoch_without_accuracy_render(tmp_path: Path) -> None:
    only = history(2)[["epoch", "loss"]]
    figure, table = learning_curves({0: only}, "t")
    assert len(figure.axes) == 1
    assert figure.axes[0].get_lines()[0].get_marker() == "o"  # a line through one point shows nothing
    save_figure(figure, table, tmp_path / "one")


def test_confusion_matrix_prints_counts_of_few_classes() -> None:
    counts = np.array([[8, 2], [0, 0]])
    figure, table = confusion_matrix(counts, ["cat", "true"], "t")
    assert [text.get_text() for text in figure.axes[0].texts] == ["8", "2"]
    np.testing.assert_array_equal(table.iloc[:, 1:], counts)
    assert list(table.columns) == ["true", "cat", "true"]
    shares: np.ma.MaskedArray = np.ma.asarray(figure.axes[0].images[0].get_array())
    assert shares[0].tolist() == [0.8, 0.2]
    assert np.ma.getmaskarray(shares)[1].all()  # a class without images has no shares


def test_confusion_matrix_of_200_classes_has_labels_that_do_not_overlap() -> None:
    names = [f"{k:03d}.A_rather_long_name_of_a_bird" for k in range(200)]
    figure, table = confusion_matrix(np.eye(200, dtype=int), names, "t")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) > 20
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    assert not figure.axes[0].texts
    assert table.shape == (200, 201)


def test_pick_draws_some_of_each_class_and_each_on_its_own() -> None:
    labels = np.repeat([0, 1, 2], [10, 2, 10])
    rows = pick(labels, per_class=3, seed=4)
    np.testing.assert_array_equal(labels[rows], [0, 0, 0, 1, 1, 2, 2, 2])
    assert len(set(rows)) == len(rows)
    np.testing.assert_array_equal(pick(labels[:12], 3, seed=4), rows[:5])
    assert not np.array_equal(pick(labels, 3, seed=5), rows)


def test_pick_spreads_over_many_classes() -> None:
    labels = np.repeat(np.arange(200), 4)
    found = np.unique(labels[pick(labels, 2, seed=0)])
    assert len(found) == 20
    assert (found[0], found[-1]) == (0, 199)


def test_sample_grid_shows_the_images_that_its_table_names(tmp_path: Path) -> None:
    images = np.stack([np.full((20, 20, 3), shade, np.uint8) for shade in (10, 60, 110, 160)])
    figure, table = sample_grid(images, ["b", "a", "b", "a"], "t")
    assert table.to_numpy().tolist() == [["b", 0, 0, 0], ["b", 0, 1, 2], ["a", 1, 0, 1], ["a", 1, 1, 3]]
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert [canvas[y, x, 0] for y in (5, 30) for x in (5, 30)] == [10, 110, 60, 160]
    save_figure(figure, table, tmp_path / "grid")
    shades = np.unique(np.asarray(Image.open(tmp_path / "grid.png").convert("L")))
    assert {10, 60, 110, 160} <= set(shades.tolist())


def test_sample_grid_of_many_classes_shows_twenty() -> None:
    _, table = sample_grid(np.zeros((60, 4, 4, 3), np.uint8), [f"class {k}" for k in range(60)], "t")
    assert table["class_name"].nunique() == 20


@pytest.mark.parametrize(
    ("metric", "order"), [("top1", ["high", "vote", "low"]), ("log_loss", ["vote", "high", "low"])]
)
def test_model_comparison_puts_the_best_on_top_and_keeps_every_value(metric: str, order: list[str]) -> None:
    figure, table = model_comparison(RUNS, ENSEMBLES, metric, "t")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == order
    runs = table[table["kind"] == "model"].set_index(["name", "seed"])["value"]
    assert runs.to_dict() == RUNS.set_index(["model", "seed"])[metric].to_dict()
    low = table[table["name"] == "low"].iloc[0]
    expected = RUNS[RUNS["model"] == "low"][metric]
    assert (low["mean"], low["sd"]) == pytest.approx((expected.mean(), expected.std(ddof=1)))
    assert low["seeds"] == 2
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert ("75.0 ± 7.1" if metric == "top1" else "0.850 ± 0.071") in shown


def test_model_comparison_of_one_seed_without_ensembles_has_no_spread(tmp_path: Path) -> None:
    figure, table = model_comparison(RUNS[RUNS["seed"] == 0], pd.DataFrame(), "top1", "t")
    assert [text.get_text() for text in figure.axes[0].texts] == ["90.0", "70.0"]
    assert table["sd"].isna().all()
    save_figure(figure, table, tmp_path / "one")


@pytest.mark.parametrize(
    ("means", "distance", "groups"),
    [
        ([1.964, 2.0, 2.893, 3.143], 1.25, [(0, 3)]),  # Demsar 2006, table 6, at 0.05: all within 1.25
        ([1.964, 2.0, 2.893, 3.143], 1.12, [(0, 2), (2, 3)]),  # at 0.10 C4.5 differs from the two with m
        ([1.0, 2.0, 3.0], 0.5, []),
        ([1.0, 1.5, 3.0, 3.2], 0.6, [(0, 1), (2, 3)]),
        ([1.0, 1.2, 1.4, 2.0], 0.5, [(0, 2)]),  # no group within another one
        ([2.0, 2.0, 2.0], 0.0, [(0, 2)]),
        ([1.0, 2.0, 3.0], 1.0, [(0, 1), (1, 2)]),
    ],
)
def test_bars_join_what_is_within_the_critical_difference(
    means: list[float], distance: float, groups: list[tuple[int, int]]
) -> None:
    assert alike(means, distance) == groups
    figure, _ = critical_difference(ranks(means, distance), "t")
    bars = [line.get_xdata() for line in figure.axes[0].get_lines() if line.get_linewidth() == 4]
    assert len(bars) == len(groups)
    for bar, (first, last) in zip(bars, groups, strict=True):
        held = [rank for rank in means if bar[0] <= rank <= bar[1]]
        assert means[first : last + 1] == held[: len(means[first : last + 1])]


def test_critical_difference_has_the_best_at_the_right_and_its_rank_beside_each_name() -> None:
    figure, table = critical_difference(ranks([3.143, 2.0, 2.893, 1.964], 1.25), "t")
    axes = figure.axes[0]
    assert table["name"].tolist() == ["m3", "m1", "m2", "m0"]
    assert axes.get_xlim() == (4, 1)
    shown = {text.get_text().strip(): text for text in axes.texts}
    assert {"m3  1.96", "m1  2.00", "2.89  m2", "3.14  m0", "critical difference 1.25"} <= set(shown)
    assert "p = 0.026" in figure.get_supxlabel()
    figure.draw_without_rendering()
    assert shown["m3  1.96"].get_window_extent().x0 > shown["3.14  m0"].get_window_extent().x1


def test_a_critical_difference_beyond_all_ranks_is_said_and_names_stay_within_the_figure() -> None:
    names = [f"a_rather_long_name_of_a_model_{k:02d}" for k in range(12)]
    figure, _ = critical_difference(ranks([float(k) for k in range(1, 13)], 11.5, names), "t")
    figure.draw_without_rendering()
    assert any("more than any two ranks can differ" in text.get_text() for text in figure.axes[0].texts)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    width = figure.get_window_extent().width
    assert all(box.x0 >= 0 and box.x1 <= width for box in boxes)
    at_right = sorted((box for box in boxes if box.x0 > 0.6 * width), key=lambda box: -box.y0)
    assert all(upper.y0 >= lower.y1 - 2 for upper, lower in pairwise(at_right))


def test_growth_is_a_line_of_means_in_a_band_of_all_choices() -> None:
    figure, table = growth(GROWTH, "t")
    assert points(figure)["mean of the choices tried"] == [(1, 0.7), (2, 0.75), (3, 0.8)]
    (band,) = figure.axes[0].collections
    assert {tuple(point) for point in band.get_paths()[0].vertices} >= {(1, 0.6), (2, 0.72), (1, 0.79), (2, 0.78)}
    pd.testing.assert_frame_equal(table, GROWTH)


def test_growth_of_one_member_renders(tmp_path: Path) -> None:
    save_figure(*growth(GROWTH[:1], "t"), tmp_path / "one")


def test_a_search_is_rebuilt_as_it_was(tmp_path: Path) -> None:
    space = {
        "float": FloatDistribution(1 / 3, 1 / 3 + 1e-12),  # between the nine digits of the file
        "stepped": FloatDistribution(0, 0.3, step=0.1),
        "whole": IntDistribution(1, 100),
        "flag": CategoricalDistribution([True, False]),
        "choice": CategoricalDistribution([None, 1 / 3, 2, "0.10", '{"before":"stage6"}']),
    }
    values = [
        {"float": 1 / 3, "stepped": 0.3, "whole": 64, "flag": False, "choice": 1 / 3},
        {"float": 1 / 3, "stepped": 0.1, "whole": 1, "flag": True, "choice": "0.10"},
        {"float": 1 / 3, "stepped": 0.0, "whole": 100, "choice": '{"before":"stage6"}'},
        {"flag": True, "choice": 2},
        {"choice": None},
    ]
    rows = [
        {"trial": 2 * k, "state": "complete", "value": k}
        | {name: "null" if v is None else v for name, v in row.items()}
        for k, row in enumerate(values)
    ]
    study = search(rows, tmp_path, space=space).study
    states = [TrialState.COMPLETE, TrialState.FAIL] * len(rows)
    assert [(found.number, found.state) for found in study.trials] == list(enumerate(states))[:-1]
    for found, params in zip(study.get_trials(states=(TrialState.COMPLETE,)), values, strict=True):
        assert found.params == {name: pytest.approx(v) if name == "float" else v for name, v in params.items()}
        assert {name: type(v) for name, v in found.params.items()} == {name: type(v) for name, v in params.items()}
        assert found.distributions == {name: space[name] for name in params}


def test_tuning_history_follows_the_best_complete_trial(tmp_path: Path) -> None:
    figure, table = FIGURES["tuning_history"](search(TRIALS[::-1], tmp_path), "t")
    assert table["trial"].tolist() == [0, 1, 3, 4, 5]
    assert table["best_so_far"].tolist() == [0.5, 0.5, 0.3, 0.3, 0.3]  # the pruned 0.1 is not a result
    shown = points(figure)
    assert shown["best so far"] == [(0, 0.5), (1, 0.5), (2, 0.5), (3, 0.3), (4, 0.3), (5, 0.3)]
    assert shown["pruned trial"] == [(1, 0.1)]
    assert shown["best trial"] == [(3, 0.3)]
    complete = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert complete.tolist() == [[0, 0.5], [3, 0.3], [4, 0.4]]
    higher, table = FIGURES["tuning_history"](search(TRIALS, tmp_path, "val_accuracy"), "t")
    assert points(higher)["best trial"] == [(0, 0.5)]
    assert table["best_so_far"].tolist() == [0.5] * 5


def test_tuning_slice_has_a_panel_for_each_parameter_that_was_set(tmp_path: Path) -> None:
    figure, table = FIGURES["tuning_slice"](search(TRIALS, tmp_path), "t")
    panels = {axes.get_xlabel(): k for k, axes in enumerate(figure.axes) if axes.get_xlabel()}
    assert set(panels) == {*SPACE} - {"options.never_used"}
    rate, name, momentum = (panels[p] for p in (*SPACE,)[:3])
    assert figure.axes[rate].get_xscale() == "log"
    assert points(figure, rate)["pruned trial"] == [(1e-4, 0.1)]
    assert points(figure, rate)["best trial"] == [(1e-3, 0.3)]
    assert [label.get_text() for label in figure.axes[name].get_xticklabels()] == ["adam", "$sgd$"]
    assert points(figure, momentum)["pruned trial"] == [(0.3, 0.1)]
    assert "best trial" not in points(figure, momentum)  # it has another optimizer
    assert table["train.optimizer.momentum"].tolist() == ["", "0.3", "", "0.1", ""]


def test_tuning_parallel_coordinates_run_through_complete_trials_best_on_top(tmp_path: Path) -> None:
    figure, table = FIGURES["tuning_parallel_coordinates"](search(TRIALS, tmp_path), "t")
    assert table["trial"].tolist() == [0, 3, 4]
    (lines,) = figure.axes[0].collections
    assert [line[0, 1] for line in lines.get_segments()] == [0.5, 0.4, 0.3]
    best = dict(points(figure)["best trial"])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["Validation loss", *sorted(table.columns[table.ne("").any() & table.columns.isin([*SPACE])])]
    axis = next(axes for axes in figure.axes[1:] if ABSENT in [label.get_text() for label in axes.get_yticklabels()])
    bottom, _ = axis.get_ylim()
    assert (bottom, best[names.index("train.optimizer.momentum")]) == (axis.get_yticks()[0], 0.3)


def test_tuning_intermediate_values_are_lines_of_each_trial(tmp_path: Path) -> None:
    figure, table = FIGURES["tuning_intermediate_values"](search(TRIALS, tmp_path), "t")
    assert points(figure)["best trial"] == [(1, 1.0), (2, 0.3)]
    assert len(figure.axes[0].get_lines()) == 4
    assert table.to_numpy().tolist()[:3] == [[0, "complete", 1, 2.0], [0, "complete", 2, 0.5], [1, "pruned", 1, 0.1]]


def test_importance_is_that_of_optuna_and_highest_of_what_alone_matters(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1, step=0.01) for name in ("b", "a", "matters")}
    space["single"] = FloatDistribution(2, 2)
    study, rows = searched(40, space, lambda params: round(100 * params["matters"]))
    figure, table = FIGURES["tuning_importance"](search(rows, tmp_path, space=space), "t")
    assert table["parameter"].tolist()[0] == "matters"
    assert table["parameter"].tolist()[-1] == "single"
    table = table.set_index("parameter")
    for key, evaluator in {
        "fanova": FanovaImportanceEvaluator(seed=0),
        "ped_anova": PedAnovaImportanceEvaluator(),
    }.items():
        assert table[key].to_dict() == pytest.approx(get_param_importances(study, evaluator=evaluator), abs=1e-6)
        assert table[key].idxmax() == "matters"
    assert table.loc["single"].tolist() == [0, 0]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "matters"


def test_importance_of_a_parameter_that_not_all_trials_have_is_told_by_one_alone(tmp_path: Path) -> None:
    space = {"always": FloatDistribution(0, 1), "sometimes": FloatDistribution(0, 1)}
    _, rows = searched(40, space, lambda params: params["always"])
    for row in rows[::2]:
        del row["sometimes"]
    figure, table = FIGURES["tuning_importance"](search(rows, tmp_path, space=space), "t")
    found = table.set_index("parameter").loc["sometimes"]
    assert np.isnan(found["fanova"]) and np.isfinite(found["ped_anova"])
    assert "not told by fANOVA" in [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("value", "number", "expected"),
    [
        (lambda k: k, FEWEST_FOR_IMPORTANCE - 1, "Importance takes 10 complete trials or more; this search has 9."),
        (lambda k: 0.5, 20, "All complete trials have the same value: no parameter mattered."),
    ],
)
def test_importance_that_cannot_be_told_is_said_in_words(
    tmp_path: Path, value: Any, number: int, expected: str
) -> None:
    rows = [trial(k, "complete", value(k), a=10 ** -(1 + k % 4)) for k in range(number)]
    figure, table = FIGURES["tuning_importance"](search(rows, tmp_path), "t")
    assert [text.get_text() for text in figure.axes[0].texts] == [expected]
    assert table["parameter"].tolist() == ["train.learning_rate"]
    assert table[["fanova", "ped_anova"]].isna().all(axis=None)


def test_importance_of_trials_that_no_parameter_tells_apart_is_told_by_none(tmp_path: Path) -> None:
    rows = [trial(k, "complete", k, a=1e-3) for k in range(20)]
    figure, table = FIGURES["tuning_importance"](search(rows, tmp_path), "t")
    assert table["fanova"].isna().all()
    assert "not told by fANOVA" in [text.get_text() for text in figure.axes[0].texts]


def test_fanova_sees_no_more_trials_than_it_has_time_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    class Recorder(FanovaImportanceEvaluator):
        def evaluate(self, study: optuna.Study, *_: Any, **__: Any) -> dict[str, float]:
            seen.append([float(found.values[0]) for found in study.trials])
            return {"train.learning_rate": 1.0}

    monkeypatch.setattr(tuning, "EVALUATORS", {"fanova": ("a", Recorder, 11), "ped_anova": ("b", Recorder, None)})
    rows = [trial(k, "complete", k, a=1e-3) for k in range(101)]
    FIGURES["tuning_importance"](search(rows, tmp_path), "t")
    assert seen == [[*range(0, 101, 10)], [*range(101)]]


@pytest.mark.parametrize("places", [(1, 3, 4), (1, 4)], ids=["but one", "all"])
@pytest.mark.parametrize("kind", FIGURES)
def test_a_search_of_which_trials_were_pruned_renders(
    kind: str, places: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [TRIALS[place] for place in places]
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        figure, table = FIGURES[kind](search(rows, tmp_path), "t")
        save_figure(figure, table, tmp_path / "figure")
    assert texts(tmp_path / "figure.svg")
    assert not caplog.records
    assert not plt.get_fignums(), "a figure that pyplot keeps"


def test_twelve_parameters_of_long_names_do_not_overlap(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {
        f"train.schedule.warmup_fraction_{k}": FloatDistribution(1e-9, 1e-1, log=True)
        if k % 2
        else IntDistribution(0, 10**k)
        for k in range(11)
    }
    space["freeze"] = CategoricalDistribution([None, "all", '{"before":"stage6"}', '{"before":"stage7"}'])
    _, rows = searched(30, space, lambda params: params["train.schedule.warmup_fraction_1"])
    found = search([row | {"freeze": row["freeze"] or "null"} for row in rows], tmp_path, space=space)
    figure, _ = FIGURES["tuning_slice"](found, "t")
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(panels) == 12
    names = [axes.xaxis.label.get_window_extent() for axes in panels]
    for row in range(0, 12, 3):
        assert all(left.x1 < right.x0 for left, right in pairwise(names[row : row + 3]))
    for axes in panels:
        labels = [label for label in axes.get_xticklabels() if label.get_text() and not label.get_rotation()]
        boxes = [label.get_window_extent() for label in labels]
        shown = [box for box in boxes if axes.bbox.x0 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1]
        assert all(left.x1 < right.x0 for left, right in pairwise(shown)), [label.get_text() for label in labels]


def test_optuna_speaks_again_once_a_figure_is_drawn(tmp_path: Path) -> None:
    before = optuna.logging.get_verbosity(), dict(plt.style.library["ggplot"])
    FIGURES["tuning_slice"](search(TRIALS, tmp_path), "t")
    assert (optuna.logging.get_verbosity(), dict(plt.style.library["ggplot"])) == before


def test_colours_differ_however_many() -> None:
    for count in (1, 7, 8, 30):
        assert len(set(colours(count))) == count


def test_shorten_keeps_short_names_and_marks_what_it_cut() -> None:
    assert shorten("daisy", 5) == "daisy"
    assert shorten("dandelion", 5) == "dand…"


# -- settings ------------------------------------------------------------------------------------------------------------


def test_what_a_study_leaves_out_is_what_figures_have_anyway() -> None:
    described = Figures().dump()
    assert Style(**described) == Style(formats=["png", "svg"])
    allowed = Figures.model_json_schema()["properties"]
    assert set(allowed["palette"]["enum"]) == PALETTES.keys()
    assert set(allowed["language"]["enum"]) == {"en", *WORDS}
    assert Study.model_fields["figures"].default is None, "an old study would dump otherwise"


@pytest.mark.parametrize(
    ("written", "formats"),
    [(["pdf"], ["png", "pdf"]), (["svg", "png", "svg"], ["png", "svg"]), ([], ["png"])],
)
def test_png_is_among_the_formats_whatever_they_are(written: list[Any], formats: list[str]) -> None:
    assert Figures(formats=written).formats == formats


@pytest.mark.parametrize(
    "wrong", [{"formats": ["jpg"]}, {"width_mm": 8}, {"palette": "jet"}, {"language": "xx"}, {"font_size": 0}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Figures(**wrong)


def test_a_format_that_is_no_longer_asked_for_leaves_no_old_figure(tmp_path: Path) -> None:
    figure = growth(GROWTH, "t")
    with look(EVERY_FORMAT):
        names = [path.name for path in save_figure(*figure, tmp_path / "v1.5")]
    assert names == ["v1.5.png", "v1.5.svg", "v1.5.pdf", "v1.5.csv"]
    assert save_figure(*figure, tmp_path / "v1.5") == [tmp_path / f"v1.5.{ending}" for ending in ("png", "svg", "csv")]
    assert not (tmp_path / "v1.5.pdf").exists()


def test_pdf_has_the_fonts_that_journals_take_and_no_date(saved: Path) -> None:
    for path in saved.glob("*.pdf"):
        data = path.read_bytes()
        assert b"/Type3" not in data and b"/FontFile2" in data, path.name
        assert b"Date" not in data and b"atplotlib" not in data, path.name


@pytest.mark.parametrize(
    "style",
    [Style(width_mm=85.0), Style(width_mm=85.0, language="de"), Style(font_size=12.0, language="de")],
    ids=["narrow", "narrow German", "large German"],
)
def test_figures_stay_within_the_width_that_is_asked_for(style: Style, tmp_path: Path) -> None:
    with look(style):
        for stem, (figure, _) in made(tmp_path).items():
            figure.draw_without_rendering()
            inches, drawn = figure.get_figwidth(), figure.get_tightbbox()
            assert inches <= style.width_mm / 25.4 + 1e-6, stem
            assert drawn.x0 > -0.02 and drawn.x1 < inches + 0.02, f"{stem} {drawn}"
            assert drawn.y0 > -0.02 and drawn.y1 < figure.get_figheight() + 0.02, f"{stem} {drawn}"


def test_a_sentence_in_place_of_a_figure_is_seen_whole(tmp_path: Path) -> None:
    with look(Style(width_mm=85.0, language="de")):
        figure, _ = FIGURES["tuning_importance"](search(TRIALS, tmp_path), "t")
        figure.draw_without_rendering()
        (sentence,) = figure.axes[0].texts
        box, edge = sentence.get_window_extent(), figure.get_window_extent()
    assert "\n" in sentence.get_text()
    assert box.x1 < edge.x1 and box.y0 > edge.y0


def test_a_long_title_and_legend_take_more_lines_and_more_height() -> None:
    title = "Soft vote of members of a_rather_long_name on digits, test split"
    wide, _ = growth(GROWTH, title)
    with look(Style(width_mm=85.0)):
        narrow, _ = growth(GROWTH, title)
    assert "\n" not in wide.get_suptitle()
    assert narrow.get_suptitle().replace("\n", " ") == title != narrow.get_suptitle()
    assert wide.get_figheight() == 3.2 < narrow.get_figheight()


def test_names_keep_the_share_of_the_width_that_they_have() -> None:
    assert letters(32) == 32
    with look(Style(width_mm=88.9)):
        assert letters(32) == 16
        assert letters(32, least=20) == 20
    with look(Style(font_size=18.0)):
        assert letters(32) == 16


def test_an_unknown_font_is_one_line_with_the_nearest_one() -> None:
    with pytest.raises(UserError) as error, look(Style(font="DejaVu Serf")):
        pass
    assert str(error.value) == "figures.font: 'DejaVu Serf' is not installed here; did you mean 'DejaVu Serif'?"


def test_a_font_is_that_of_the_texts(tmp_path: Path) -> None:
    with look(Style(font="DejaVu Serif", font_size=18.0)):
        save_figure(*growth(GROWTH, "t"), tmp_path / "serif")
    svg = (tmp_path / "serif.svg").read_text()
    assert "DejaVu Serif" in svg and "16px" in svg and " 8px" not in svg


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_is_that_of_the_lines(name: str) -> None:
    with look(Style(palette=name)):
        figure, _ = learning_curves({0: history(2, 1), 1: history(2, 1)}, "t")
        assert {line.get_color() for line in figure.axes[0].get_lines()} == set(PALETTES[name].colours[:2])
        assert len(set(colours(30))) == 30
    assert colours(1) == ["#0072B2"]


def test_greys_differ_in_lightness() -> None:
    shades = sorted(int(colour[1:3], 16) for colour in PALETTES["grey"].colours)
    assert all(colour[1:3] * 3 == colour[1:] for colour in PALETTES["grey"].colours)
    assert min(darker - lighter for lighter, darker in pairwise(shades)) >= 0.14 * 255


# -- words ---------------------------------------------------------------------------------------------------------------


def constants(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def labelled(path: Path) -> set[str]:
    """The texts that a module asks the words of."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    asked = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "label"]
    return {str(text.value) for text in asked if isinstance(text, ast.Constant)}


@pytest.mark.parametrize("language", WORDS)
def test_every_text_has_words_in_each_language_and_nothing_else_has(language: str) -> None:
    words = WORDS[language]
    modules = [*(ROOT / "graft/figures").glob("*.py"), *(ROOT / "scripts").glob("draw_*.py")]
    modules = [path for path in modules if path.name != "words.py"]
    lower = {MEASURES[metric].name.lower() for metric in ("top1", "log_loss")}
    asked = set.union(*map(labelled, modules), {measure.name for measure in MEASURES.values()}, TITLES.values(), LEGEND)
    assert asked | lower <= words.keys()
    assert words.keys() <= set.union(*map(constants, modules), TITLES.values(), lower)


@pytest.mark.parametrize("language", WORDS)
def test_words_have_the_fields_of_the_english_text(language: str) -> None:
    for text, other in WORDS[language].items():
        assert sorted(re.findall(r"{\w+}", other)) == sorted(re.findall(r"{\w+}", text)), text


def test_german_figures_say_nothing_in_english(tmp_path: Path) -> None:
    english = {text for text, other in WORDS["de"].items() if text != other and "{" not in text} - {"Macro F1"}
    with look(Style(language="de")):
        for stem, (figure, table) in made(tmp_path / "search").items():
            save_figure(figure, table, tmp_path / stem)
            assert not english & set(texts(tmp_path / f"{stem}.svg")), stem
        assert label("{name} on {dataset}, test split", name="{a}", dataset="b") == "{a} auf b, Testdaten"
    assert label("Epoch") == "Epoch"
    with pytest.raises(KeyError):
        translated("No such text", "de")
