"""Figures show the values that they are given, whatever the names, and equal figures are equal files."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from graft.figures.confusion_matrix import confusion_matrix
from graft.figures.learning_curves import learning_curves
from graft.figures.model_comparison import model_comparison
from graft.figures.sample_grid import pick, sample_grid
from graft.figures.style import colours, save_figure, shorten
from graft.figures.tuning_history import tuning_history

NASTY = [
    "$\\frac{$",
    "<script>alert(1)</script>",
    "a & b\x00\n\x1bc",
    "a name of very many letters, too many to show",
]


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
TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3, 4],
        "state": ["complete", "pruned", "complete", "complete", "pruned"],
        "value": [0.5, 0.1, 0.3, 0.4, None],
        "epochs": [5, 1, 5, 5, 0],
        "train.learning_rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        "train.optimizer.name": ["adam", "$sgd$", "adam", "sgd", None],
        "options.bias": [True, False, True, True, False],
        "options.never_used": [None] * 5,
    }
)


def made() -> dict[str, tuple[Figure, pd.DataFrame]]:
    images = np.random.default_rng(0).integers(0, 255, (8, 12, 12, 3), dtype=np.uint8)
    return {
        "learning_curves.digits.simcnn": learning_curves({0: history(2, 1, 0.5), 1: history(2, 0.9)}, "Curves of $x$"),
        "confusion_matrix.digits.v1.5": confusion_matrix(np.arange(16).reshape(4, 4), NASTY, "Confusion of $x$"),
        "sample_grid.digits": sample_grid(images, NASTY * 2, "Samples of $x$"),
        "model_comparison.digits": model_comparison(RUNS, ENSEMBLES, "top1", "Comparison of $x$"),
        "tuning_history.digits.simcnn": tuning_history(TRIALS, "val_loss", "Tuning of $x$"),
    }


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
    for stem, (figure, table) in made().items():
        save_figure(figure, table, folder / stem)
    return folder


def test_each_figure_is_png_svg_and_csv_under_its_whole_stem(saved: Path) -> None:
    expected = {f"{stem}.{ending}" for stem in made() for ending in ("png", "svg", "csv")}
    assert {path.name for path in saved.iterdir()} == expected


def test_equal_figures_are_equal_files_in_another_process(saved: Path, tmp_path: Path) -> None:
    code = (
        "import runpy, sys; from pathlib import Path; from graft.figures.style import save_figure\n"
        f"for stem, made in runpy.run_path({__file__!r})['made']().items(): save_figure(*made, Path(sys.argv[1]) / stem)"
    )
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=environment, cwd=tmp_path)
    for path in saved.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_names_are_text_in_svg_and_never_markup_or_formulas(saved: Path) -> None:
    for stem in ("confusion_matrix.digits.v1.5", "sample_grid.digits"):
        shown = texts(saved / f"{stem}.svg")  # parses, so it is well-formed
        assert {"$\\frac{$", "<script>alert(1)<…", "a & b c"} <= set(shown)
        assert "<script" not in (saved / f"{stem}.svg").read_text()
        assert not any(name.startswith("a name of very many letters, too") for name in shown)
    assert "Curves of $x$" in texts(saved / "learning_curves.digits.simcnn.svg")
    assert "$sgd$" in texts(saved / "tuning_history.digits.simcnn.svg")


def test_figures_need_no_plotting_state_and_no_framework() -> None:
    code = (
        "import sys, graft.figures.learning_curves, graft.figures.confusion_matrix, graft.figures.sample_grid\n"
        "import graft.figures.model_comparison, graft.figures.tuning_history\n"
        "print({'matplotlib.pyplot', 'sklearn', 'keras', 'scipy', 'optuna'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
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


def test_tuning_history_follows_the_best_complete_trial() -> None:
    figure, table = tuning_history(TRIALS.iloc[::-1], "val_loss", "t")
    assert table["best_so_far"].tolist() == [0.5, 0.5, 0.3, 0.3, 0.3]  # the pruned 0.1 is not a result
    pd.testing.assert_frame_equal(table.drop(columns="best_so_far"), TRIALS)
    shown = points(figure)
    assert shown["pruned trial"] == [(1, 0.1)]
    assert shown["best trial"] == [(2, 0.3)]
    assert figure.axes[0].get_lines()[1].get_markerfacecolor() == "white"
    higher, table = tuning_history(TRIALS, "val_accuracy", "t")
    assert points(higher)["best trial"] == [(0, 0.5)]
    assert table["best_so_far"].tolist() == [0.5] * 5


def test_tuning_history_has_a_panel_for_each_parameter_that_was_set() -> None:
    figure, _ = tuning_history(TRIALS, "val_loss", "t")
    names = [axes.get_xlabel() for axes in figure.axes]
    assert names == ["Trial", "train.learning_rate", "train.optimizer.name", "options.bias"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log", "linear", "linear"]
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["$sgd$", "adam", "sgd"]
    assert points(figure, 2)["best trial"] == [(1, 0.3)]


def test_tuning_history_without_a_complete_trial_renders(tmp_path: Path) -> None:
    save_figure(*tuning_history(TRIALS[TRIALS["state"] == "pruned"], "val_loss", "t"), tmp_path / "pruned")


def test_colours_differ_however_many() -> None:
    for count in (1, 7, 8, 30):
        assert len(set(colours(count))) == count


def test_shorten_keeps_short_names_and_marks_what_it_cut() -> None:
    assert shorten("daisy", 5) == "daisy"
    assert shorten("dandelion", 5) == "dand…"
