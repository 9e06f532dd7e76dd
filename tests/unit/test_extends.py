"""What a model that extends another one becomes."""

from typing import Any

import pytest

from graft.extends import merge, resolve

BASE: dict[str, Any] = {
    "architecture": "resnet50",
    "head": {"dense": [1024], "dropout": 0.25},
    "train": {"epochs": 3, "optimizer": {"name": "sgd", "momentum": 0.9}},
}


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"head": {"dropout": 0.0}}, "head", {"dense": [1024], "dropout": 0.0}),
        ({"head": {"dense": [512, 512]}}, "head", {"dense": [512, 512], "dropout": 0.25}),
        ({"head": None}, "head", None),
        ({"head": {"dropout": None}}, "head", {"dense": [1024]}),
        ({"train": {"optimizer": {"name": "adam"}}}, "train", {"epochs": 3, "optimizer": {"name": "adam"}}),
        ({"train": {"optimizer": "adam"}}, "train", {"epochs": 3, "optimizer": "adam"}),
        ({"weights": "imagenet"}, "architecture", "resnet50"),
    ],
)
def test_mappings_merge_and_anything_else_is_replaced(changes: Any, path: str, expected: Any) -> None:
    merged = merge(BASE, changes)
    assert merged.get(path) == expected
    assert BASE["head"] == {"dense": [1024], "dropout": 0.25}, "what is extended stays as it is"


def test_a_chain_is_followed_from_its_far_end() -> None:
    models = {
        "c": {"extends": "b", "image_size": 96},
        "a": {"architecture": "simcnn", "image_size": 32, "train": {"epochs": 1}},
        "b": {"extends": "a", "image_size": 64, "train": {"batch_size": 8}},
    }
    whole, problems = resolve(models)
    assert problems == []
    assert whole["c"] == {"architecture": "simcnn", "image_size": 96, "train": {"epochs": 1, "batch_size": 8}}
    assert list(whole) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        (
            {"a": {"extends": "simcn"}, "simcnn": {}},
            "'simcn' is not another model of this study; did you mean 'simcnn'?",
        ),
        ({"a": {"extends": "a"}, "b": {}}, "'a' is not another model of this study; allowed: b"),
        ({"a": {"extends": 3}, "b": {}}, "3 is not another model of this study; allowed: b"),
        ({"a": {"extends": "b"}, "b": None}, "'b' is not another model of this study; there are none"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "a extends b extends a; a model cannot extend itself"),
    ],
)
def test_what_cannot_be_extended_is_named(models: Any, problem: str) -> None:
    assert f"models.a.extends: {problem}" in resolve(models)[1]


def test_a_study_reads_models_that_extend_others(study: dict[str, Any], read: Any, complaints: Any) -> None:
    study["models"]["wider"] = {"extends": "probe", "head": {"dense": [64]}, "image_size": 96}
    wider, probe = (read(study).models[name] for name in ("wider", "probe"))
    assert (wider.head.dense, wider.image_size) == ([64], 96)
    assert wider.head.dropout == probe.head.dropout == 0.2
    study["models"]["wider"]["extends"] = "prob"
    problem = "models.wider.extends: 'prob' is not another model of this study; did you mean 'probe'?"
    assert complaints(study) == [": 1 problem in this study:", problem]
