from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

from graft.files import write_csv
from graft.metrics import IMAGE_SCORES, METRICS, brier_score, intervals, outcomes
from graft.predictions import Predictions, SplitPredictions, log_softmax
from graft.statistics import Interval, bootstrap_seeds
from graft.tables import ENSEMBLE, RUN, VALUES, Measured, ensemble_table, measured, over_seeds, run_table


def predictions(validation: list[int], test: list[int]) -> Predictions:
    """Certain of the classes given, where class 0 is always the truth."""
    splits = {}
    for name, said in (("validation", validation), ("test", test)):
        log_prob = np.log(np.where(np.arange(2) == np.array(said)[:, None], 0.9, 0.1))
        ids = np.array([f"{name}{k}" for k in range(len(said))])
        splits[name] = SplitPredictions(ids, np.zeros(len(said), dtype=int), log_prob)
    return Predictions(["a", "b"], splits)


def drawn(seed: int, images: dict[str, int], first: str = "") -> Predictions:
    """Predictions of so many images of each split, of classes that are right more often than not, in random order."""
    random, splits = np.random.default_rng(seed), {}
    for name, number in images.items():
        order = random.permutation(number)
        label = np.arange(number) % 3
        log_prob = log_softmax(random.normal(size=(number, 3)) + 2 * (np.arange(3) == label[:, None]))
        ids = np.array([f"{first}{name}{k}" for k in range(number)], dtype=str)
        splits[name] = SplitPredictions(ids[order], label[order], log_prob[order])
    return Predictions(["a", "b", "c"], splits)


RUNS = measured(
    [
        (["digits", "small", 0], predictions([0, 0], [0, 1, 1, 0])),
        (["digits", "small", 1], predictions([0, 1], [0, 0, 0, 0])),
        (["digits", "probe", 0], predictions([1, 1], [1, 1, 1, 0])),
        (["more", "small", 0], predictions([0, 0], [0, 0, 0, 0])),
    ]
)


NAMES = [["digits", "small", 0], ["digits", "small", 1], ["digits", "probe", 0], ["more", "small", 0]]


def test_a_run_has_a_row_for_each_split() -> None:
    table = run_table(RUNS)
    assert list(table.columns) == [*RUN, *VALUES]
    assert len(table) == 8
    first = table.iloc[:2]
    assert first["split"].tolist() == ["validation", "test"]
    assert first["images"].tolist() == [2, 4]
    assert first["top1"].tolist() == [1.0, 0.5]
    np.testing.assert_allclose(first["log_loss"], [-np.log(0.9), -np.log(0.9 * 0.1) / 2])
    np.testing.assert_allclose(first["brier"], [2 * 0.1**2, 0.1**2 + 0.9**2])
    np.testing.assert_allclose(first["balanced_accuracy"], [1, 0.5])
    np.testing.assert_allclose(first["macro_f1"], [1, (2 / 3 + 0) / 2])


def test_columns_are_named_as_readers_know_them() -> None:
    shares = {"top1", "top5", "calibration_error", "balanced_accuracy", "macro_f1"}
    metrics = {"log_loss", "brier"} | shares
    bounds = {f"{metric}_{end}" for metric in metrics for end in ("low", "high")}
    assert set(VALUES) == {"split", "images"} | metrics | bounds


@pytest.mark.parametrize(("said", "right"), [([0, 1, 1, 0], 2), ([0, 0, 0, 0], 4), ([0] * 15 + [1] * 7, 15)])
def test_top_1_of_a_run_has_wilsons_interval(said: list[int], right: int) -> None:
    row = run_table(measured([(["digits", "small", 0], predictions([0], said))])).iloc[1]
    expected = binomtest(right, len(said)).proportion_ci(method="wilson")
    assert (row["top1_low"], row["top1_high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_top_1_of_an_ensemble_has_wilsons_interval() -> None:
    names = ["digits", "pair", "soft_vote", 4]
    row = ensemble_table(measured([(names, predictions([0], [0, 1, 1, 0]))])).iloc[1]
    expected = binomtest(2, 4).proportion_ci(method="wilson")
    assert (row["top1_low"], row["top1_high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_every_metric_has_the_interval_over_images_of_its_split() -> None:
    """Of three runs of two sizes, which share their draws with those of equal size."""
    items = [drawn(seed, {"validation": 30, "test": number}) for seed, number in enumerate((50, 30, 50))]
    table = run_table(measured((["digits", "small", seed], item) for seed, item in enumerate(items)), draws=60)
    for row in table.to_dict("records"):
        split = items[row["seed"]].splits[row["split"]]
        alone = intervals([outcomes(split.log_prob, split.label)], draws=60)[0]
        for metric in METRICS:
            found = [row[metric], row[f"{metric}_low"], row[f"{metric}_high"]]
            assert found == pytest.approx(alone[metric][:3], rel=1e-9)
            assert found[1] <= found[2]


def test_a_run_is_named_by_data_set_model_and_seed() -> None:
    table = run_table(RUNS)
    assert [tuple(row) for row in table[list(RUN)].to_numpy()] == [run.names for run in RUNS]
    assert [run.names for run in RUNS[::2]] == [(*names,) for names in NAMES]


def test_an_ensemble_has_a_row_for_each_split() -> None:
    names = ["digits", "pair", "soft_vote", 4]
    table = ensemble_table(measured([(names, predictions([0, 0], [0, 1, 1, 0]))]))
    assert list(table.columns) == [*ENSEMBLE, *VALUES]
    assert table[list(ENSEMBLE)].to_numpy().tolist() == [names, names]
    assert table["top1"].tolist() == [1.0, 0.5]


def test_a_study_without_ensembles_has_a_table_of_headings(tmp_path: Path) -> None:
    write_csv(tmp_path / "e.csv", ensemble_table([]))
    assert (tmp_path / "e.csv").read_text() == ",".join([*ENSEMBLE, *VALUES]) + "\n"


def test_names_that_do_not_fit_the_columns_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        run_table(measured([(["digits", "small"], predictions([0], [0]))]))


def test_models_have_mean_and_sample_deviation_over_seeds() -> None:
    table = over_seeds(run_table(RUNS)).set_index(["dataset", "model", "split"])
    both = table.loc["digits", "small", "test"]
    assert (both["seeds"], both["images"]) == (2, 4)
    assert both["top1_mean"] == 0.75
    assert both["top1_sd"] == pytest.approx(0.25 * np.sqrt(2))  # of 0.5 and 1.0, by n - 1
    assert table.loc["digits", "small", "validation"]["top1_mean"] == 0.75


def test_models_have_the_t_interval_of_their_mean_over_seeds() -> None:
    said = [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    items = ((["digits", "small", seed], predictions([0, 1], each)) for seed, each in enumerate(said))
    runs = run_table(measured(items))
    row = over_seeds(runs).iloc[1]
    losses = [brier_score(*predictions([0], each).splits["test"][:0:-1]) for each in said]
    for metric, values in (("top1", [0.5, 1, 0.75]), ("brier", losses)):
        expected = ttest_1samp(values, 0).confidence_interval(0.95)
        assert (row[f"{metric}_low"], row[f"{metric}_high"]) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_one_seed_has_neither_deviation_nor_interval(tmp_path: Path) -> None:
    table = over_seeds(run_table(RUNS))
    alone = table[(table["model"] == "probe") & (table["split"] == "test")]
    assert alone["seeds"].tolist() == [1]
    assert alone["top1_mean"].tolist() == [0.25]
    write_csv(tmp_path / "m.csv", alone)
    for metric in METRICS:
        for column in (f"{metric}_sd", f"{metric}_low", f"{metric}_high"):
            assert alone[column].isna().all()
            assert pd.read_csv(tmp_path / "m.csv")[column].isna().all()


def test_a_model_on_two_data_sets_is_two_rows_in_the_studys_order() -> None:
    table = over_seeds(run_table(RUNS))
    names = table[table["split"] == "test"][["dataset", "model"]].to_numpy().tolist()
    assert names == [["digits", "small"], ["digits", "probe"], ["more", "small"]]
    assert {f"{metric}_{kind}" for metric in METRICS for kind in ("mean", "sd", "low", "high")} <= set(table.columns)


# -- over seeds and images -----------------------------------------------------------------------------------------------

BOOT = [f"{metric}_boot_{end}" for metric in ("top1", "top5", "log_loss", "brier") for end in ("low", "high")]


def of_seeds(seeds: int, **images: int) -> list[Measured]:
    """Runs of two models, whose images stand in an order of each run's own."""
    return measured(
        (["digits", model, seed], drawn(10 * seed + len(model), images))
        for seed in range(seeds)
        for model in ("small", "probe")
    )


def test_five_seeds_have_an_interval_over_seeds_and_images() -> None:
    runs = of_seeds(5, validation=20, test=40)
    table = over_seeds(run_table(runs, draws=20), runs, draws=300)
    assert list(table.columns[-len(BOOT) :]) == BOOT
    for row in table.to_dict("records"):
        own = [run for run in runs if (run.names[1], run.split) == (row["model"], row["split"])]
        assert len(own) == 5
        scores = [run.outcomes.scores.set_axis(run.sample_id).sort_index().to_numpy() for run in own]
        expected = bootstrap_seeds(np.stack(scores), draws=300)
        assert expected is not None
        for metric, interval in zip(IMAGE_SCORES, expected, strict=True):
            found = Interval(row[f"{metric}_mean"], row[f"{metric}_boot_low"], row[f"{metric}_boot_high"], "percentile")
            assert found[:3] == pytest.approx(interval[:3], rel=1e-9)
            assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("seeds", [1, 4])
def test_fewer_than_five_seeds_have_no_such_interval(tmp_path: Path, seeds: int) -> None:
    runs = of_seeds(seeds, validation=20, test=40)
    write_csv(tmp_path / "m.csv", over_seeds(run_table(runs, draws=20), runs))
    assert pd.read_csv(tmp_path / "m.csv")[BOOT].isna().all(axis=None)


def test_folds_whose_validation_images_differ_have_no_such_interval_of_these() -> None:
    def fold(k: int) -> Predictions:
        other = drawn(k, {"validation": 9 + k % 2}, first=f"fold{k}")
        return Predictions(other.classes, {**other.splits, **drawn(k, {"test": 30}).splits})

    runs = measured((["digits", "small", k], fold(k)) for k in range(5))
    table = over_seeds(run_table(runs, draws=20), runs, draws=50).set_index("split")
    assert table.loc["validation", BOOT].isna().all()
    assert table.loc["test", BOOT].notna().all()
    assert table.loc["validation", "top1_mean"] == pytest.approx(
        np.mean([run.outcomes.scores["top1"].mean() for run in runs[::2]])
    )


def test_the_values_of_a_table_are_those_of_the_predictions() -> None:
    item = drawn(3, {"validation": 12, "test": 25})
    table = run_table(measured([(["digits", "small", 0], item)]), draws=20)
    for row, split in zip(table.to_dict("records"), item.splits.values(), strict=True):
        expected = {name: metric(split.log_prob, split.label) for name, metric in METRICS.items()}
        assert {name: row[name] for name in METRICS} == pytest.approx(expected, rel=1e-12)
