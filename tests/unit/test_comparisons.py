"""Pairs of models are compared on the same images, whatever their order, and ranks are those of common data sets."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graft.comparisons import PAIRS, RANKS, Scored, pairs_table, ranks_table, read_comparison, scored, verdict
from graft.errors import UserError
from graft.files import write_csv
from graft.predictions import Predictions, SplitPredictions, log_softmax
from graft.ranked import ranked
from graft.statistics import bootstrap_means, friedman, holm, mcnemar, permutation_test

IMAGES = 200
LABEL = np.arange(IMAGES) % 4
IDS = np.array([f"image{k:03d}" for k in range(IMAGES)])


def predictions(seed: int, skill: float, images: int = IMAGES) -> Predictions:
    """A run that is the more often right the more ``skill`` it has; of the same images, in an order of its own."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(IMAGES, 4)) + skill * (np.arange(4) == LABEL[:, None])
    order = random.permutation(images)
    test = SplitPredictions(IDS[order], LABEL[order], log_softmax(logits)[order])
    return Predictions(list("abcd"), {"validation": test._replace(log_prob=test.log_prob[::-1]), "test": test})


RUNS = {
    "small": [predictions(1, 1.0), predictions(2, 1.0), predictions(3, 1.0)],
    "large": [predictions(4, 3.0)],
    "twin": [predictions(5, 1.0), predictions(6, 1.0)],
}


def entries(dataset: str = "digits", names: tuple[str, ...] = ("small", "large", "twin")) -> list[Scored]:
    return [scored(dataset, name, run) for name in names for run in RUNS[name]]


def by_image(name: str, metric: str) -> np.ndarray:
    """The mean score of each image over the seeds of a name, in the order of the images."""
    each = [scored("digits", name, run) for run in RUNS[name]]
    mean: np.ndarray = np.mean([run.scores[metric][np.argsort(run.sample_id)] for run in each], axis=0)
    return mean


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pairs_table(entries())


def test_there_is_a_row_for_each_metric_and_pair_in_the_order_of_the_study(table: pd.DataFrame) -> None:
    assert list(table.columns) == list(PAIRS)
    pairs = [("small", "large"), ("small", "twin"), ("large", "twin")]
    expected = [("digits", metric, *pair) for metric in ("top1", "log_loss") for pair in pairs]
    assert [*table[["dataset", "metric", "first", "second"]].itertuples(index=False, name=None)] == expected
    assert table.loc[0, ["images", "first_seeds", "second_seeds"]].tolist() == [IMAGES, 3, 1]


@pytest.mark.parametrize("metric", ["top1", "log_loss"])
def test_a_difference_is_that_of_means_over_seeds_of_the_same_images(table: pd.DataFrame, metric: str) -> None:
    rows = table[table["metric"] == metric].to_dict("records")
    tests = []
    for row in rows:
        first, second = by_image(row["first"], metric), by_image(row["second"], metric)
        assert (row["first_value"], row["second_value"]) == pytest.approx((first.mean(), second.mean()))
        expected = bootstrap_means((first - second)[:, None])[0]
        found = (row["difference"], row["difference_low"], row["difference_high"])
        assert found == pytest.approx(expected[:3], rel=1e-9, abs=1e-12)
        tests.append(permutation_test(first, second).p)
        assert row["p"] == pytest.approx(tests[-1], rel=1e-9)
    assert [row["p_holm"] for row in rows] == pytest.approx(holm(tests).tolist(), rel=1e-9)


def test_mcnemars_test_is_of_the_runs_of_the_first_seed(table: pd.DataFrame) -> None:
    hits = {}
    for name, (first, *_) in RUNS.items():
        run = scored("digits", name, first)
        hits[name] = np.asarray(run.scores["top1"])[np.argsort(run.sample_id)]
    rows = table[table["metric"] == "top1"].to_dict("records")
    expected = [mcnemar(hits[row["first"]], hits[row["second"]]) for row in rows]
    for row, found in zip(rows, expected, strict=True):
        assert (row["only_first"], row["only_second"]) == found[:2]
        assert row["mcnemar_p"] == pytest.approx(found.p, rel=1e-9)
    assert [row["mcnemar_p_holm"] for row in rows] == pytest.approx(holm([found.p for found in expected]).tolist())
    others = table.loc[table["metric"] == "log_loss", ["only_first", "only_second", "mcnemar_p", "mcnemar_p_holm"]]
    assert others.isna().all(axis=None)


def test_only_what_the_test_tells_apart_is_higher_or_lower(table: pd.DataFrame) -> None:
    found = table.set_index(["metric", "first", "second"])["verdict"].to_dict()
    assert found["top1", "small", "large"] == found["log_loss", "large", "twin"] == "lower"
    assert found["top1", "large", "twin"] == found["log_loss", "small", "large"] == "higher"
    assert found["top1", "small", "twin"] == "not distinguishable"


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (0.1, 0.05, "higher"),
        (-0.1, 0.01, "lower"),
        (0.1, 0.051, "not distinguishable"),
        (0.0, 1.0, "not distinguishable"),
        (0.1, math.nan, ""),
    ],
)
def test_a_verdict_follows_p(difference: float, p: float, expected: str) -> None:
    assert verdict(difference, p) == expected


def test_of_very_many_pairs_one_that_differs_much_is_still_told_apart() -> None:
    """The least p of 10,000 permutations, times 780 pairs, is 0.08: no pair could ever be told apart."""
    same = RUNS["small"][0]
    runs = [scored("digits", f"m{k:02d}", predictions(k, 1.0) if k else RUNS["large"][0]) for k in range(39)]
    table = pairs_table([*runs, scored("digits", "last", same)], draws=50)
    assert len(table) == 2 * 780
    first = table[(table["first"] == "m00") & (table["metric"] == "log_loss")]
    assert (first["verdict"] == "lower").all()
    assert first["p_holm"].max() <= 0.05


def test_what_is_ruled_out_has_no_test_and_is_not_adjusted_for() -> None:
    ruled_out = predictions(7, 1.0)
    split = ruled_out.splits["test"]
    never = np.where(np.arange(4) == split.label[:1], -np.inf, np.log(1 / 3)).astype(np.float32)
    log_prob = np.concatenate([never[None], split.log_prob[1:]])
    infinite = Predictions(ruled_out.classes, {"test": split._replace(log_prob=log_prob)})
    table = pairs_table([*entries(), scored("digits", "never", infinite)], draws=50)
    table = table[table["metric"] == "log_loss"].set_index(["first", "second"])
    with_it = table[[("never" in pair) for pair in table.index]]
    assert with_it[["p", "p_holm", "difference_low"]].isna().all(axis=None)
    assert (with_it["verdict"] == "").all() and (with_it["difference"] == -math.inf).all()
    others = table.drop(with_it.index)
    assert others["p_holm"].tolist() == pytest.approx(holm(others["p"].to_numpy()).tolist())


def test_each_data_set_is_adjusted_for_alone() -> None:
    table = pairs_table([*entries(), *entries("more", ("small", "large"))], draws=50)
    more = table[table["dataset"] == "more"]
    assert len(more) == 2
    assert (more["p"] == more["p_holm"]).all()


@pytest.mark.parametrize("runs", [[], entries(names=("small",))])
def test_one_name_has_no_pairs_and_the_file_has_headings(tmp_path: Path, runs: list[Scored]) -> None:
    write_csv(tmp_path / "pairs.csv", pairs_table(runs))
    assert (tmp_path / "pairs.csv").read_text() == ",".join(PAIRS) + "\n"
    assert read_comparison(tmp_path / "pairs.csv").empty


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda run: run._replace(sample_id=np.char.add(run.sample_id, "x")), "hold different samples"),
        (lambda run: run._replace(label=(run.label + 1) % 4), "disagree on labels"),
    ],
)
def test_runs_of_other_images_cannot_be_compared(change: object, text: str) -> None:
    runs = entries(names=("small", "large"))
    with pytest.raises(UserError, match=f"small and large on digits cannot be compared.*{text}.*; run snakemake again"):
        pairs_table([*runs[:3], change(runs[3])])  # type: ignore[operator]


def test_the_file_gives_the_table_back(tmp_path: Path, table: pd.DataFrame) -> None:
    named = table.assign(first="007", second="NA")
    write_csv(tmp_path / "pairs.csv", named)
    back = read_comparison(tmp_path / "pairs.csv")
    pd.testing.assert_frame_equal(back, named, check_dtype=False, rtol=1e-8)
    assert (back["first"] == "007").all() and (back["second"] == "NA").all()


# -- ranks ---------------------------------------------------------------------------------------------------------------


def test_ranks_are_friedmans_over_the_data_sets() -> None:
    """The best of the three by either metric is first on each data set."""
    runs = [*entries("a"), *entries("b", ("twin", "large", "small")), *entries("c", ("small",))]
    table = ranks_table(runs)
    assert list(table.columns) == list(RANKS)
    for metric, higher in (("top1", True), ("log_loss", False)):
        rows = table[table["metric"] == metric].set_index("name")
        values = [[by_image(name, metric).mean() for name in ("small", "large", "twin")]] * 2
        expected = friedman(np.array(values), higher)
        assert expected is not None
        assert rows["mean_rank"].to_dict() == dict(zip(("small", "large", "twin"), expected.ranks, strict=True))
        assert rows["mean_rank"]["large"] == 1
        assert rows[["datasets", "names"]].drop_duplicates().to_numpy().tolist() == [[2, 3]]
        facts = rows[["statistic", "p", "critical_difference"]].drop_duplicates().to_numpy().tolist()
        assert facts == [pytest.approx([expected.statistic, expected.p, expected.critical_difference])]


def test_without_common_names_there_are_headings_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "ranks.csv", ranks_table([*entries("a"), *entries("b", ("small", "large"))]))
    assert (tmp_path / "ranks.csv").read_text() == ",".join(RANKS) + "\n"


@pytest.mark.parametrize(
    ("names", "datasets", "common"),
    [
        ({"a": "xyz", "b": "xyz"}, "ab", "xyz"),
        ({"a": "xyzw", "b": "zyx"}, "ab", "xyz"),
        ({"a": "xyz", "b": "xyz", "c": "x"}, "ab", "xyz"),  # most data sets of three names, not of all
        ({"a": "xyzw", "b": "xyzw", "c": "xyz"}, "abc", "xyz"),  # more data sets before more names
        ({"a": "xyz", "b": "xyz", "c": "uvwxy", "d": "uvwxy"}, "cd", "xyuvw"),  # then more names
        ({"a": "xy1", "b": "xyz1", "c": "z", "d": "y2"}, "ab", "xy1"),
        ({"a": "xy", "b": "xy"}, "", ""),
        ({"a": "xyz", "b": "uvw"}, "", ""),
        ({"a": "xyz"}, "", ""),
        ({}, "", ""),
    ],
)
def test_ranked_are_the_names_that_most_data_sets_have(names: dict[str, str], datasets: str, common: str) -> None:
    found = ranked({dataset: list(held) for dataset, held in names.items()})
    assert found[0] == list(datasets)
    assert sorted(found[1]) == sorted(common)


def test_ranked_are_the_best_of_all_choices() -> None:
    random = np.random.default_rng(8)
    for _ in range(40):
        held = {dataset: [name for name in "uvwxyz" if random.random() < 0.6] for dataset in "abcd"}
        best = (0, 0)
        for count in range(2, 5):
            for choice in itertools.combinations(held, count):
                common = set.intersection(*(set(held[dataset]) for dataset in choice))
                best = max(best, (count, len(common))) if len(common) >= 3 else best
        found = ranked(held)
        assert (len(found[0]), len(found[1])) == best
