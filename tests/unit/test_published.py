"""Published figures stand beside the right one of ours, and only what test images can tell apart is called different."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest

from graft.files import write_csv
from graft.published import COLUMNS, published_table, read_published, verdict
from graft.statistics import difference_interval, share_interval

METRICS = {"top5": 0.9, "log_loss": 1.5, "calibration_error": 0.1, "top1_low": 0.0, "top1_high": 1.0}


def run(dataset: str, model: str, seed: int, split: str, top1: float, images: int = 1000) -> dict[str, Any]:
    return {"dataset": dataset, "model": model, "seed": seed, "split": split, "images": images, **METRICS, "top1": top1}


RUNS = pd.DataFrame(
    [
        run("digits", "small", 0, "validation", 0.80, 500),
        run("digits", "small", 0, "test", 0.70),
        run("digits", "small", 1, "validation", 0.82, 500),
        run("digits", "small", 1, "test", 0.74),
        run("other", "small", 0, "test", 0.10),
        run("digits", "probe", 0, "test", 0.50),
    ]
)
ENSEMBLES = pd.DataFrame(
    [
        {"dataset": "digits", "ensemble": "pair", "method": "soft_vote", "members": 3, "split": "test", "images": 1000}
        | METRICS
        | {"top1": 0.9}
    ]
)
HISTORIES = {
    ("digits", "small"): [
        pd.DataFrame({"epoch": [1, 2], "loss": [2.0, first], "accuracy": [0.3, second], "rate": [1.0, 0.5]})
        for first, second in ((1.0, 0.6), (0.8, 0.7))
    ]
}


def table(*figures: dict[str, Any]) -> pd.DataFrame:
    return published_table([{"dataset": "digits", **figure} for figure in figures], RUNS, ENSEMBLES, HISTORIES)


def row(**figure: Any) -> dict[str, Any]:
    """The one row of a figure of the model ``small``, unless it is ``of`` another one."""
    rows = table({"of": "small", **figure})
    assert len(rows) == 1
    return {str(name): value for name, value in rows.iloc[0].items()}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.02, "higher"),
        (-0.02, -0.01, "lower"),
        (-0.01, 0.01, "not distinguishable"),
        (0.0, 0.01, "not distinguishable"),
        (math.nan, math.nan, ""),
    ],
)
def test_only_an_interval_without_zero_is_a_difference(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected


def test_a_test_figure_stands_beside_the_mean_over_seeds() -> None:
    found = row(images=10_000, test={"top1": 0.5651})
    assert (found["dataset"], found["name"], found["split"], found["metric"]) == ("digits", "small", "test", "top1")
    assert (found["ours"], found["difference"]) == (pytest.approx(0.72), pytest.approx(0.72 - 0.5651))
    assert found["ours_sd"] == pytest.approx(0.04 / math.sqrt(2))  # of 0.70 and 0.74, by n - 1
    assert (found["images"], found["our_images"], found["runs"]) == (10_000, 1000, 2)
    expected = binomtest(5651, 10_000).proportion_ci(method="wilson")
    assert (found["low"], found["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found["verdict"] == "higher"


def test_two_seeds_on_the_same_images_are_not_twice_as_many_images() -> None:
    found = row(images=10_000, test={"top1": 0.70})
    bounds = difference_interval((720, 1000), (7000, 10_000))
    assert (found["difference_low"], found["difference_high"]) == pytest.approx(bounds)


@pytest.mark.parametrize(
    ("published", "images", "expected"),
    [
        (0.65, 1000, "higher"),
        (0.65, 50, "not distinguishable"),
        (0.72, 1000, "not distinguishable"),
        (0.8, 1000, "lower"),
    ],
)
def test_the_verdict_counts_the_images_of_both_sides(published: float, images: int, expected: str) -> None:
    assert row(images=images, test={"top1": published})["verdict"] == expected


def test_a_share_that_was_rounded_is_read_as_the_nearest_number_of_images() -> None:
    found = row(images=300, test={"top1": 0.57})  # 171 of 300
    assert (found["low"], found["high"]) == pytest.approx(share_interval(171, 300))
    assert row(images=7, test={"top1": 0.333})["low"] == pytest.approx(share_interval(2, 7)[0])


def test_an_ensemble_has_one_value() -> None:
    found = row(of="pair", images=1000, test={"top1": 0.7})
    assert (found["ours"], found["runs"], found["our_images"], found["verdict"]) == (0.9, 3, 1000, "higher")
    assert math.isnan(found["ours_sd"])


def test_one_seed_has_no_deviation() -> None:
    found = row(of="probe", images=1000, test={"top1": 0.5})
    assert (found["ours"], found["runs"]) == (0.5, 1)
    assert math.isnan(found["ours_sd"])


def test_each_data_set_has_its_own_runs() -> None:
    assert row(dataset="other", images=1000, test={"top1": 0.1})["ours"] == pytest.approx(0.10)


@pytest.mark.parametrize(
    ("figure", "ours"),
    [
        ({"images": 1000, "test": {"log_loss": 2.1671}}, 1.5),
        ({"images": 1000, "validation": {"top1": 0.54}}, 0.81),
        ({"images": 1000, "train": {"top1": 0.6036}}, 0.65),
        ({"train": {"log_loss": 1.5613}}, 0.9),
    ],
)
def test_losses_and_shares_of_unknown_images_have_no_interval_and_no_verdict(
    figure: dict[str, Any], ours: float
) -> None:
    found = row(**figure)
    assert found["ours"] == pytest.approx(ours)
    assert found["difference"] == pytest.approx(ours - found["published"])
    assert all(math.isnan(found[name]) for name in ("low", "high", "difference_low", "difference_high"))
    assert found["verdict"] == ""


def test_training_figures_are_those_of_the_last_epoch() -> None:
    found = row(train={"top1": 0.9})
    assert found["ours"] == pytest.approx(0.65)  # of 0.6 and 0.7, not of the first epochs
    assert (found["ours_sd"], found["runs"]) == (pytest.approx(0.1 / math.sqrt(2)), 2)
    assert math.isnan(found["images"]) and math.isnan(found["our_images"])


@pytest.mark.parametrize("figure", [{"train": {"top5": 0.9}}, {"of": "pair", "train": {"top1": 0.9}}, {"of": "gone"}])
def test_what_a_study_does_not_have_is_left_empty(figure: dict[str, Any]) -> None:
    found = row(**({"images": 10, "test": {"top1": 0.9}} if "train" not in figure else {}) | figure)
    assert found["published"] == 0.9
    assert all(math.isnan(found[name]) for name in ("ours", "ours_sd", "runs", "our_images", "difference"))
    assert found["verdict"] == ""


def test_there_is_a_row_for_each_published_number() -> None:
    rows = table(
        {"of": "pair", "images": 10, "test": {"top1": 0.9}, "remark": "In one run."},
        {"of": "small", "images": 10, "train": {"log_loss": 1.0}, "test": {"log_loss": 2.0, "top5": 1, "top1": 0.5}},
    )
    assert list(rows.columns) == list(COLUMNS)
    assert rows[["name", "split", "metric", "remark"]].to_numpy().tolist() == [
        ["pair", "test", "top1", "In one run."],
        ["small", "test", "top1", ""],
        ["small", "test", "top5", ""],
        ["small", "test", "log_loss", ""],
        ["small", "train", "log_loss", ""],
    ]


def test_a_study_without_ensembles_has_published_figures_too() -> None:
    found = published_table(
        [{"dataset": "digits", "of": "small", "images": 10, "test": {"top1": 0.5}}], RUNS, ENSEMBLES[:0], {}
    )
    assert found["ours"].tolist() == [pytest.approx(0.72)]


def test_the_file_gives_the_table_back(tmp_path: Path) -> None:
    rows = table(
        {"of": "small", "images": 10, "test": {"top1": 0.5, "log_loss": 2.0}, "remark": "12"},
        {"of": "gone", "train": {"top5": 0.25}, "remark": 'NA, "so to say"'},
    )
    rows.loc[1, ["ours", "difference"]] = math.inf
    rows["name"] = ["007", "007", "1e5"]
    write_csv(tmp_path / "published.csv", rows)
    back = read_published(tmp_path / "published.csv")
    pd.testing.assert_frame_equal(back, rows, check_dtype=False, rtol=1e-8)
    assert back["name"].tolist() == ["007", "007", "1e5"]
    assert back["remark"].tolist() == ["12", "12", 'NA, "so to say"']


def test_a_file_without_figures_is_a_table_of_headings(tmp_path: Path) -> None:
    write_csv(tmp_path / "published.csv", table())
    back = read_published(tmp_path / "published.csv")
    assert list(back.columns) == list(COLUMNS) and back.empty
