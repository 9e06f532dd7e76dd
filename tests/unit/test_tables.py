from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ttest_1samp

from graft.files import write_csv
from graft.metrics import METRICS, brier_score
from graft.predictions import Predictions, SplitPredictions
from graft.tables import ENSEMBLE, RUN, VALUES, ensemble_table, over_seeds, run_table


def predictions(validation: list[int], test: list[int]) -> Predictions:
    """Certain of the classes given, where class 0 is always the truth."""
    splits = {}
    for name, said in (("validation", validation), ("test", test)):
        log_prob = np.log(np.where(np.arange(2) == np.array(said)[:, None], 0.9, 0.1))
        ids = np.array([f"{name}{k}" for k in range(len(said))])
        splits[name] = SplitPredictions(ids, np.zeros(len(said), dtype=int), log_prob)
    return Predictions(["a", "b"], splits)


RUNS = [
    (["digits", "small", 0], predictions([0, 0], [0, 1, 1, 0])),
    (["digits", "small", 1], predictions([0, 1], [0, 0, 0, 0])),
    (["digits", "probe", 0], predictions([1, 1], [1, 1, 1, 0])),
    (["more", "small", 0], predictions([0, 0], [0, 0, 0, 0])),
]


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
    assert set(VALUES) == {"split", "images", "log_loss", "brier", "top1_low", "top1_high"} | shares


@pytest.mark.parametrize(("said", "right"), [([0, 1, 1, 0], 2), ([0, 0, 0, 0], 4), ([0] * 15 + [1] * 7, 15)])
def test_top_1_of_a_run_has_wilsons_interval(said: list[int], right: int) -> None:
    row = run_table([(["digits", "small", 0], predictions([0], said))]).iloc[1]
    expected = binomtest(right, len(said)).proportion_ci(method="wilson")
    assert (row["top1_low"], row["top1_high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_top_1_of_an_ensemble_has_wilsons_interval() -> None:
    names = ["digits", "pair", "soft_vote", 4]
    row = ensemble_table([(names, predictions([0], [0, 1, 1, 0]))]).iloc[1]
    expected = binomtest(2, 4).proportion_ci(method="wilson")
    assert (row["top1_low"], row["top1_high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_a_run_is_named_by_data_set_model_and_seed() -> None:
    table = run_table(RUNS)
    assert table[list(RUN)].drop_duplicates().to_numpy().tolist() == [names for names, _ in RUNS]


def test_an_ensemble_has_a_row_for_each_split() -> None:
    names = ["digits", "pair", "soft_vote", 4][: len(ENSEMBLE)]
    table = ensemble_table([(names, RUNS[0][1])])
    assert list(table.columns) == [*ENSEMBLE, *VALUES]
    assert table[list(ENSEMBLE)].to_numpy().tolist() == [names, names]
    assert table["top1"].tolist() == [1.0, 0.5]


def test_a_study_without_ensembles_has_a_table_of_headings(tmp_path: Path) -> None:
    write_csv(tmp_path / "e.csv", ensemble_table([]))
    assert (tmp_path / "e.csv").read_text() == ",".join([*ENSEMBLE, *VALUES]) + "\n"


def test_names_that_do_not_fit_the_columns_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        run_table([(["digits", "small"], RUNS[0][1])])


def test_models_have_mean_and_sample_deviation_over_seeds() -> None:
    table = over_seeds(run_table(RUNS)).set_index(["dataset", "model", "split"])
    both = table.loc["digits", "small", "test"]
    assert (both["seeds"], both["images"]) == (2, 4)
    assert both["top1_mean"] == 0.75
    assert both["top1_sd"] == pytest.approx(0.25 * np.sqrt(2))  # of 0.5 and 1.0, by n - 1
    assert table.loc["digits", "small", "validation"]["top1_mean"] == 0.75


def test_models_have_the_t_interval_of_their_mean_over_seeds() -> None:
    said = [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    runs = run_table((["digits", "small", seed], predictions([0, 1], each)) for seed, each in enumerate(said))
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
