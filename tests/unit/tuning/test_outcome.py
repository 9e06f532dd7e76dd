import math
import statistics
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from graft.errors import UserError
from graft.tuning.outcome import (
    best_facts,
    best_of,
    best_trials,
    finished_trials,
    gather_predictions,
    intermediate_table,
    progress,
    search_facts,
    trials_table,
)

RATE, NAME = "train.learning_rate", "train.optimizer.name"
TUNE: dict[str, Any] = {
    "space": {RATE: {"low": 0.0, "high": 1.0, "log": False}, NAME: {"choices": ["adam", "sgd"]}},
    "trials": 4,
    "workers": 2,
    "metric": "val_loss",
    "seed": 0,
    "sampler": {"name": "tpe"},
    "pruner": {"name": "asha"},
}
DISTRIBUTIONS = {RATE: FloatDistribution(0.0, 1.0), NAME: CategoricalDistribution(["adam", "sgd"])}


def trial(state: str, value: float | None, epochs: list[float], **attributes: Any) -> FrozenTrial:
    values = {RATE: 0.25, NAME: "sgd"}
    return create_trial(
        state=TrialState[state],
        value=value,
        params=values,
        distributions=DISTRIBUTIONS,
        intermediate_values=dict(enumerate(epochs, 1)),
        user_attrs={"values": values, **attributes},
    )


@pytest.fixture
def trials() -> list[FrozenTrial]:
    """As Optuna gives them: five that finished, of four that were asked for, one that failed, one too many."""
    study = optuna.create_study()
    study.add_trials(
        [
            trial("COMPLETE", 0.5, [0.9, 0.5], start=0),
            trial("FAIL", None, [0.9], error="out of memory"),
            trial("PRUNED", 0.8, [0.8]),
            trial("FAIL", None, [], surplus=True),
            trial("COMPLETE", 0.3, [0.7, 0.3], again=1),
            trial("COMPLETE", 0.5, [0.6, 0.5]),
            trial("COMPLETE", 0.1, [0.2, 0.1]),
        ]
    )
    return study.trials


def test_as_many_trials_count_as_were_asked_for(trials: list[FrozenTrial]) -> None:
    assert [trial.number for trial in finished_trials(trials, 4)] == [0, 2, 4, 5]


@pytest.mark.parametrize(("metric", "numbers"), [("val_loss", [4, 0, 5]), ("val_accuracy", [0, 5, 4])])
def test_the_best_come_first_and_of_equal_ones_the_earlier(
    trials: list[FrozenTrial], metric: str, numbers: list[int]
) -> None:
    assert [trial.number for trial in best_trials(finished_trials(trials, 4), metric)] == numbers


def test_a_line_says_how_far_a_search_is(trials: list[FrozenTrial]) -> None:
    said = "5 of 4 done (1 pruned), 1 failed, best val_loss 0.1000 (trial 6)"
    assert progress(trials, 4, "val_loss") == said
    assert progress([], 4, "val_loss") == "0 of 4 done (0 pruned), 0 failed"


def test_the_table_has_a_row_for_each_finished_trial(trials: list[FrozenTrial]) -> None:
    table = trials_table(finished_trials(trials, 4), TUNE["space"] | {"options.units": {"low": 1, "high": 2}})
    assert list(table) == ["trial", "state", "value", "epochs", "start", RATE, NAME, "options.units"]
    assert table.iloc[1].tolist()[:7] == [2, "pruned", 0.8, 1, False, 0.25, "sgd"]
    assert table["start"].tolist() == [True, False, False, False]
    assert table["options.units"].isna().all()


def test_a_choice_that_is_a_list_or_null_is_written_as_json() -> None:
    described = trial("COMPLETE", 1.0, [])
    described.user_attrs["values"] |= {"head.dense": [64, 32], NAME: None}
    table = trials_table([described], TUNE["space"] | {"head.dense": {"choices": [[64, 32], [64]]}})
    assert table["head.dense"].tolist() == ["[64,32]"]
    assert table[NAME].tolist() == ["null"]


def test_each_epoch_that_was_reported_is_a_row(trials: list[FrozenTrial]) -> None:
    table = intermediate_table(finished_trials(trials, 4))
    assert table.to_numpy().tolist()[:3] == [[0, 1, 0.9], [0, 2, 0.5], [2, 1, 0.8]]


def test_what_is_said_of_a_search_can_be_read_with_optuna(trials: list[FrozenTrial]) -> None:
    import json

    facts = search_facts(trials, TUNE | {"top_k": 2})
    assert facts["trials"] == {"asked": 4, "complete": 3, "pruned": 1, "failed": 1}
    assert (facts["direction"], facts["workers"], facts["sampler"]) == ("minimize", 2, {"name": "tpe"})
    read = {p: optuna.distributions.json_to_distribution(json.dumps(d)) for p, d in facts["distributions"].items()}
    assert read == DISTRIBUTIONS
    best = best_facts(trials, TUNE | {"top_k": 2}, "s")
    assert [(best["trial"], best["value"]) for best in best["best"]] == [(4, 0.3), (0, 0.5)]
    assert best["best"][0]["params"] == {RATE: 0.25, NAME: "sgd"}


def test_a_search_without_an_end_says_what_to_change(trials: list[FrozenTrial]) -> None:
    with pytest.raises(UserError, match="no trial came to its end: every one was pruned or diverged"):
        search_facts(trials[1:4], TUNE | {"trials": 1})


def test_a_search_that_is_not_finished_has_no_outcome_unless_its_time_was_up(trials: list[FrozenTrial]) -> None:
    with pytest.raises(UserError, match="only 5 of 9 trials are finished"):
        search_facts(trials, TUNE | {"trials": 9})
    tune = TUNE | {"trials": 9, "timeout": 60.0}
    assert search_facts(trials, tune)["trials"]["complete"] == 4
    assert best_facts(trials, tune, "s")["best"][0]["trial"] == 6


def test_without_reruns_the_best_of_the_search_is_chosen(trials: list[FrozenTrial]) -> None:
    facts = best_facts(trials, TUNE, "s")
    best = best_of(facts, [], TUNE)
    assert (best["trial"], best["value"], best["search"], best["space"]) == (4, 0.3, "s", TUNE["space"])
    assert "reruns" not in best


@pytest.mark.parametrize(("metric", "chosen"), [("val_loss", 0), ("val_accuracy", 4)])
def test_the_best_in_the_mean_of_its_reruns_is_chosen(trials: list[FrozenTrial], metric: str, chosen: int) -> None:
    tune = TUNE | {"top_k": 3, "metric": metric}
    facts = best_facts(trials, tune, "s")
    values = {0: [0.4, 0.5, 0.6], 4: [0.9, 0.5, 0.7], 5: [0.5, 0.5, 0.6]}
    reruns = [
        {"trial": number, "seed": seed, "value": value}
        for number, found in values.items()
        for seed, value in enumerate(found, 1)
    ]
    best = best_of(facts, reruns[::-1], tune)
    first = best["reruns"][0]
    assert best["trial"] == first["trial"] == chosen
    assert first["rerun"]["seeds"] == [1, 2, 3]
    assert first["rerun"]["values"] == values[chosen]
    assert math.isclose(first["rerun"]["mean"], statistics.mean(values[chosen]))
    assert math.isclose(first["rerun"]["std"], statistics.stdev(values[chosen]))


def test_a_trial_that_diverges_from_another_seed_is_not_chosen(trials: list[FrozenTrial]) -> None:
    tune = TUNE | {"top_k": 2}
    values: dict[int, list[float | None]] = {4: [0.1, None], 0: [0.6, 0.7]}
    reruns = [{"trial": n, "seed": seed, "value": v} for n, found in values.items() for seed, v in enumerate(found)]
    best = best_of(best_facts(trials, tune, "s"), reruns, tune)
    assert (best["trial"], len(best["reruns"])) == (0, 1)
    all_diverged = [{**run, "value": None} for run in reruns]
    assert best_of(best_facts(trials, tune, "s"), all_diverged, tune)["trial"] == 4


def test_predictions_of_complete_trials_are_gathered_and_those_of_others_go(
    trials: list[FrozenTrial], tmp_path: Path
) -> None:
    finished = finished_trials(trials, 4)
    for number in (0, 4, 5):
        folder = tmp_path / "state/s" / f"trial{number}"
        folder.mkdir(parents=True)
        (folder / "predictions.npz").write_bytes(str(number).encode())
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials/9.npz").touch()
    (tmp_path / "state/s/trial2/state").mkdir(parents=True)
    paths = gather_predictions(finished, tmp_path / "state", "s", tmp_path / "trials")
    assert sorted(tmp_path.glob("trials/*")) == sorted(paths) == [tmp_path / f"trials/{k}.npz" for k in (0, 4, 5)]
    assert paths[1].read_bytes() == b"4"
    assert not (tmp_path / "state/s/trial2").exists()
    (tmp_path / "state/s/trial4/predictions.npz").unlink()
    with pytest.raises(UserError, match=r"trial4/predictions\.npz: missing; delete"):
        gather_predictions(finished, tmp_path / "state", "s", tmp_path / "trials")
