import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

import graft.schema
from graft.registry import parts
from graft.schema import study_schema

DEFAULT = Path(__file__).resolve().parents[2] / "config.yaml"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(study_schema())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def default() -> Any:
    return YAML(typ="safe", pure=True).load(DEFAULT)


def test_the_committed_schema_is_that_of_the_code() -> None:
    committed = Path(graft.schema.__file__).with_name("study.schema.json")
    assert committed.read_text(encoding="utf-8") == study_schema(), (
        "run: python -m graft.schema > graft/study.schema.json"
    )


def test_it_says_which_dialect_it_is_written_in() -> None:
    schema = json.loads(study_schema())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Graft study"


def test_the_default_study_names_its_schema() -> None:
    first = DEFAULT.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=graft/study.schema.json"


def test_the_default_study_fits(validator: Draft202012Validator, default: Any) -> None:
    validator.validate(default)


def test_a_study_with_every_kind_of_section_fits(validator: Draft202012Validator, study: dict[str, Any]) -> None:
    study["models"]["probe"] |= {"freeze": {"before": "stage6"}, "freeze_batch_norm": True}
    study["models"]["tuned"]["tune"] |= {
        "sampler": {"name": "tpe", "n_startup_trials": 2},
        "pruner": {"name": "asha", "min_resource": "auto", "reduction_factor": 2},
        "start_from": [{"train.epochs": 3, "train.optimizer.name": "adam"}],
        "workers": 2,
        "storage": "journal",
        "top_k": 1,
        "space": {
            "train.epochs": {"low": 1, "high": 3, "step": 2},
            "train.optimizer.name": {"choices": ["adam", "sgd"]},
            "train.optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"train.optimizer.name": "sgd"}},
            "train.early_stopping": {"choices": [None, {"patience": 2, "metric": "val_loss"}]},
        },
    }
    validator.validate(study)


def test_a_study_that_extends_another_says_only_what_differs(validator: Draft202012Validator) -> None:
    validator.validate({"study": "own", "extends": "config.yaml", "models": {"dcnn": {"train": {"epochs": 1}}}})
    assert not validator.is_valid({"extends": "config.yaml"})
    assert not validator.is_valid({"study": "own", "models": {"dcnn": {"train": {"epochs": 1}}}})


@pytest.mark.parametrize("optimizer", ["adam", "sgd", {"name": "sgd", "momentum": 0.9}])
def test_an_optimizer_may_be_its_name_or_a_mapping(
    validator: Draft202012Validator, study: dict[str, Any], optimizer: Any
) -> None:
    study["models"]["small"]["train"]["optimizer"] = optimizer
    validator.validate(study)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("studdy",), 1),
        (("datasets", "digits", "source"), "digit"),
        (("datasets", "../x"), {"source": "digits", "split": {"validation": 0.1, "test": 0.1}}),
        (("models", "small", "architecture"), "simcn"),
        (("models", "small", "head"), {"pooling": "avg"}),
        (("models", "small", "train", "epoch"), 3),
        (("models", "small", "train", "epochs"), "3"),
        (("models", "small", "train", "learning_rate"), -1),
        (("models", "small", "train", "optimizer"), "adm"),
        (("models", "small", "train", "optimizer"), {"name": "adam", "momentum": 0.9}),
        (("models", "probe", "freeze"), {"before": "stage9"}),
        (("models", "probe", "weights"), "imagnet"),
        (("models", "tuned", "tune", "space", "train.epochs"), {"low": 1}),
        (("models", "tuned", "tune", "space", "train.epochs"), {"low": 1, "high": 3, "step": 0}),
        (("models", "tuned", "tune", "pruner"), "percentile"),
        (("models", "tuned", "tune", "sampler"), {"name": "cmaes", "popsize": 1}),
        (("models", "tuned", "tune", "start_from"), []),
        (("ensembles", "pair", "members"), "small"),
        (("ensembles", "pair", "method"), "soft_vot"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_study_may_not_say_does_not_fit(
    validator: Draft202012Validator, study: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    assert validator.is_valid(study)
    place = study
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not validator.is_valid(study)


def test_each_architecture_is_a_branch_with_its_own_keys() -> None:
    schema = json.loads(study_schema())
    (models,) = schema["else"]["properties"]["models"]["patternProperties"].values()
    *references, extending = models["anyOf"]
    assert extending["required"] == ["extends"]
    branches = {ref["$ref"].rpartition("/")[2] for ref in references}
    assert {"dcnn", "efficientnet_lite0", "simcnn", "toy_resnet"} <= branches
    named = [schema["$defs"][name]["properties"]["architecture"] for name in branches]
    known = [name for branch in named for name in branch.get("enum", [branch.get("const", "hub")])]
    assert sorted(known) == sorted(parts("graft.models"))
    assert "freeze" in schema["$defs"]["efficientnet_lite0"]["properties"]
    assert "freeze" not in schema["$defs"]["simcnn"]["properties"]
