from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graft.files import write_csv
from graft.metrics import METRICS
from graft.predictions import Predictions, SplitPredictions
from graft.tables import ENSEMBLE, RUN, ensemble_table, over_seeds, run_table


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
    assert list(table.columns) == [*RUN, "split", "images", *METRICS]
    assert len(table) == 8
    first = table.iloc[:2]
    assert first["split"].tolist() == ["validation", "test"]
    assert first["images"].tolist() == [2, 4]
    assert first["top1"].tolist() == [1.0, 0.5]
    np.testing.assert_allclose(first["log_loss"], [-np.log(0.9), -np.log(0.9 * 0.1) / 2])


def test_a_run_is_named_by_data_set_model_and_seed() -> None:
    table = run_table(RUNS)
    assert table[list(RUN)].drop_duplicates().to_numpy().tolist() == [names for names, _ in RUNS]


def test_an_ensemble_has_a_row_for_each_split() -> None:
    names = ["digits", "pair", "soft_vote", 4][: len(ENSEMBLE)]
    table = ensemble_table([(names, RUNS[0][1])])
    assert list(table.columns) == [*ENSEMBLE, "split", "images", *METRICS]
    assert table[list(ENSEMBLE)].to_numpy().tolist() == [names, names]
    assert table["top1"].tolist() == [1.0, 0.5]


def test_a_study_without_ensembles_has_a_table_of_headings(tmp_path: Path) -> None:
    write_csv(tmp_path / "e.csv", ensemble_table([]))
    assert (tmp_path / "e.csv").read_text() == ",".join([*ENSEMBLE, "split", "images", *METRICS]) + "\n"


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


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    table = over_seeds(run_table(RUNS))
    alone = table[(table["model"] == "probe") & (table["split"] == "test")]
    assert alone["seeds"].tolist() == [1]
    assert alone["top1_mean"].tolist() == [0.25]
    assert alone["top1_sd"].isna().all()
    write_csv(tmp_path / "m.csv", alone)
    assert pd.read_csv(tmp_path / "m.csv")["top1_sd"].isna().all()


def test_a_model_on_two_data_sets_is_two_rows_in_the_studys_order() -> None:
    table = over_seeds(run_table(RUNS))
    names = table[table["split"] == "test"][["dataset", "model"]].to_numpy().tolist()
    assert names == [["digits", "small"], ["digits", "probe"], ["more", "small"]]
    assert {f"{metric}_{kind}" for metric in METRICS for kind in ("mean", "sd")} <= set(table.columns)
