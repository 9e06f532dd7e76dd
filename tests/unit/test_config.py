import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from graft.config import Run, Study
from graft.config.data import Split
from graft.config.models import Head
from graft.config.train import Adam, EarlyStopping, Train


def without(study: dict[str, Any], *path: str) -> dict[str, Any]:
    place = study
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return study


def test_runs_are_every_model_on_each_of_its_data_sets_from_every_seed(study: dict[str, Any], read: Any) -> None:
    names = [("digits", "small"), ("more", "small"), ("digits", "probe"), ("more", "probe"), ("digits", "tuned")]
    assert read(study).runs == tuple(Run(dataset, model, seed) for dataset, model in names for seed in (0, 1))


def test_a_model_without_data_sets_is_for_all_of_them(study: dict[str, Any], read: Any) -> None:
    plain = read(study)
    assert plain.datasets_of(plain.models["small"]) == ["digits", "more"]
    assert plain.models_on("more") == ["small", "probe"]
    assert plain.models_on("digits") == ["small", "probe", "tuned"]


def test_members_are_every_seed_of_each_model_named(study: dict[str, Any], read: Any) -> None:
    members = [Run("more", model, seed) for model in ("small", "probe") for seed in (0, 1)]
    assert read(study).members("pair", "more") == members


def test_members_all_are_the_models_on_that_data_set(study: dict[str, Any], read: Any) -> None:
    plain = read(study)
    assert {run.model for run in plain.members("everything", "digits")} == {"small", "probe", "tuned"}
    assert {run.model for run in plain.members("everything", "more")} == {"small", "probe"}


def features(study: dict[str, Any], read: Any, **changes: Any) -> str:
    study["models"]["probe"] |= changes
    study["ensembles"] = {}
    folder: str = read(study).features_name("probe")
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"head": {"dense": [64], "dropout": 0.5}},
        {"train": {"epochs": 9, "learning_rate": 0.1}},
        {"freeze_batch_norm": True},
        {"datasets": ["digits"]},
        {"tune": {"trials": 2, "space": {"train.epochs": {"choices": [1, 2]}}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_models_that_freeze_alike_share_activations(study: dict[str, Any], read: Any, changes: dict[str, Any]) -> None:
    before = features(study, read)
    assert features(study, read, **changes) == before


@pytest.mark.parametrize(
    "changes",
    [{"freeze": {"before": "stage6"}}, {"image_size": 96}, {"head": {"pooling": "max"}}],
    ids=lambda changes: next(iter(changes)),
)
def test_models_that_freeze_differently_do_not(study: dict[str, Any], read: Any, changes: dict[str, Any]) -> None:
    before = features(study, read)
    assert features(study, read, **changes) != before


def test_a_head_behind_the_cut_does_not_decide_activations(study: dict[str, Any], read: Any) -> None:
    average = features(study, read, freeze={"before": "stage6"}, head={"pooling": "avg"})
    assert features(study, read, head={"pooling": "max"}) == average


def test_activations_depend_on_what_computes_them(study: dict[str, Any], read: Any) -> None:
    folders = {features(study | {"threads": threads}, read) for threads in (1, 2)}
    assert len(folders) == 2


def test_a_features_folder_says_backbone_and_cut(study: dict[str, Any], read: Any) -> None:
    assert features(study, read).startswith("efficientnet_lite0-all-")
    assert features(study, read, freeze={"before": "stage6"}).startswith("efficientnet_lite0-stage6-")


def test_a_dump_is_sorted_plain_and_leaves_out_what_is_unset(study: dict[str, Any], read: Any) -> None:
    study["models"]["small"]["train"] = {"schedule": "cosine", "optimizer": "sgd", "epochs": 3}
    dump = read(study).models["small"].dump()
    assert dump == {
        "architecture": "simcnn",
        "image_size": 32,
        "options": {},
        "train": {
            "batch_size": 32,
            "epochs": 3,
            "learning_rate": 0.001,
            "optimizer": {"name": "sgd"},
            "schedule": {"name": "cosine"},
        },
        "weights": "none",
    }
    assert list(dump) == sorted(dump)
    assert list(dump["train"]) == sorted(dump["train"])


def test_equal_studies_dump_alike_however_they_are_written(study: dict[str, Any], read: Any) -> None:
    train = {"epochs": 3, "optimizer": {"momentum": 0.5, "name": "sgd"}, "early_stopping": None}
    one = read(study | {"models": {"small": study["models"]["small"] | {"train": train}}, "ensembles": {}})
    backwards = dict(reversed(train.items())) | {"optimizer": {"name": "sgd", "momentum": 0.5}}
    two = read(study | {"models": {"small": study["models"]["small"] | {"train": backwards}}, "ensembles": {}})
    assert str(one.dump()) == str(two.dump())


@pytest.mark.parametrize(
    ("old", "values"),
    [
        (Head, {}),
        (Adam, {"name": "adam"}),
        (EarlyStopping, {"patience": 2}),
        (Split, {"validation": 0.1, "test": 0.2}),
        (Train, {"epochs": 2, "optimizer": "adam"}),
    ],
)
def test_a_new_optional_key_changes_no_dump(old: Any, values: dict[str, Any]) -> None:
    new = type("New", (old,), {"__annotations__": {"warm_up": int | None}, "warm_up": None})
    assert new.model_validate(values).dump() == old.model_validate(values).dump()
    assert new.model_validate(values | {"warm_up": 3}).dump() != old.model_validate(values).dump()


def test_what_a_run_is_trained_by_leaves_out_tuning_and_data_sets(study: dict[str, Any], read: Any) -> None:
    tuned = read(study).models["tuned"].trained
    del study["models"]["tuned"]["tune"], study["models"]["tuned"]["datasets"], study["ensembles"]
    assert read(study).models["tuned"].trained == tuned


@pytest.mark.parametrize(
    "change",
    [
        {"split": {"validation": 0.2, "test": 0.2, "seed": 7}},
        {"subset": {"classes": ["3", "8"], "fraction": 0.5}},
        {"leakage": "drop"},
        {"max_bad": 0.5},
    ],
)
def test_data_sets_that_differ_in_what_a_study_uses_share_prepared_arrays(
    study: dict[str, Any], read: Any, change: dict[str, Any]
) -> None:
    study["datasets"]["more"] = study["datasets"]["digits"] | change
    datasets = read(study).datasets
    assert datasets["digits"].key == datasets["more"].key
    assert datasets["digits"].preparation == {"interpolation": "bicubic", "resize": "squash"}
    assert datasets["digits"].division != datasets["more"].division
    assert re.fullmatch("[0-9a-f]{10}", datasets["digits"].key)


@pytest.mark.parametrize(
    "change", [{"resize": "crop"}, {"interpolation": "lanczos"}, {"source": {"name": "folder", "path": "photos"}}]
)
def test_data_sets_that_differ_in_source_or_preparation_do_not(
    study: dict[str, Any], read: Any, change: dict[str, Any]
) -> None:
    study["datasets"]["more"] = study["datasets"]["digits"] | change
    datasets = read(study).datasets
    assert datasets["digits"].key != datasets["more"].key
    assert datasets["digits"].division == datasets["more"].division


def test_sizes_are_those_of_the_models_that_train_on_a_data_set(study: dict[str, Any], read: Any) -> None:
    assert read(study).sizes("digits") == [16, 32, 64]
    assert read(study).sizes("more") == [32, 64]


@pytest.mark.parametrize(
    ("dataset", "line"),
    [
        (
            {"source": "cifar10", "split": {"validation": 0.1, "test": 0.2}},
            "datasets.more.split.test: cifar10 publishes its test split; leave this out",
        ),
        (
            {"source": "cifar10"},
            "datasets.more.split.validation: is required, such as 0.1: cifar10 publishes no such split",
        ),
        (
            {"source": "digits", "split": {"validation": 0.1}},
            "datasets.more.split.test: is required, such as 0.1: digits publishes no such split",
        ),
        (
            {"source": "digits", "split": {"validation": 0.1, "test": 0.2}, "subset": {"classes": ["1", "1"]}},
            "datasets.more.subset.classes: names '1' more than once",
        ),
        (
            {
                "source": "digits",
                "split": {"validation": 0.1, "test": 0.2},
                "subset": {"fraction": 0.1, "per_class": {"train": 3}},
            },
            "datasets.more.subset: fraction and per_class.train both thin the training split; give one",
        ),
        (
            {"source": {"name": "cifar10", "sha256": "abc"}, "split": {"validation": 0.1}},
            "datasets.more.source.sha256: 'abc' is not a SHA-256: 64 hexadecimal digits in lower case",
        ),
        (
            {"source": "cifar", "split": {"validation": 0.1}},
            "datasets.more.source: 'cifar' is not a source; did you mean 'cifar10'?",
        ),
    ],
)
def test_what_does_not_fit_a_source_is_named(
    study: dict[str, Any], complaints: Any, dataset: dict[str, Any], line: str
) -> None:
    study["datasets"]["more"] = dataset
    assert complaints(study)[1:] == [line]


def backbone(architecture: str, before: str) -> dict[str, Any]:
    frozen = {"weights": "imagenet", "freeze": {"before": before}}
    return {"architecture": architecture, "image_size": 96, "train": {"epochs": 1}} | frozen


@pytest.mark.parametrize(
    ("architecture", "before"),
    [("resnet50", "conv5_block3"), ("resnet101", "conv4_block23"), ("inceptionv3", "mixed9")],
)
def test_networks_of_keras_may_be_frozen_before_a_stage(
    study: dict[str, Any], read: Any, architecture: str, before: str
) -> None:
    study["models"]["small"] = backbone(architecture, before)
    model = read(study).models["small"]
    assert model.cut == before
    assert model.weights_file.name.endswith("notop.h5")


def test_a_misspelt_stage_of_a_resnet_is_named_before_anything_runs(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"] = backbone("resnet50", "conv5_blok3")
    (line,) = complaints(study)[1:]
    assert line.startswith("models.small.freeze.before: 'conv5_blok3' is not allowed; did you mean 'conv5_block")


def test_a_list_of_frozen_stages_needs_no_stored_activations(study: dict[str, Any], read: Any) -> None:
    study["models"]["small"] = backbone("resnet50", "conv5") | {"freeze": ["conv2", "conv3_block1"]}
    assert read(study).models["small"].frozen is False
    study["models"]["small"]["freeze"] = "all"
    assert read(study).models["small"].frozen is True


@pytest.mark.parametrize("freeze", ["all", {"before": "conv5"}, ["conv2"]])
def test_whatever_is_frozen_needs_weights(study: dict[str, Any], complaints: Any, freeze: Any) -> None:
    study["models"]["small"] = backbone("resnet50", "conv5") | {"freeze": freeze, "weights": "none"}
    assert "freeze needs weights" in complaints(study)[1]


def test_an_unknown_stage_in_a_list_is_named(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"] = backbone("resnet50", "conv5") | {"freeze": ["conv2", "conv9"]}
    assert any("models.small.freeze" in line and "'conv9' is not allowed" in line for line in complaints(study))


def test_a_stage_is_replaced_and_pixels_repeated(study: dict[str, Any], read: Any) -> None:
    change = {"replace_from": {"stage": "conv5", "momentum": 0.8}, "upsample": 7}
    study["models"]["small"] = backbone("resnet50", "conv5") | {"freeze": "all"} | change
    trained = read(study).models["small"].trained
    expected = {"blocks": 3, "filters": 512, "momentum": 0.8, "stage": "conv5", "stride": 1}
    assert (trained["replace_from"], trained["upsample"]) == (expected, 7)


def test_a_layer_name_is_no_path(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"] = backbone("xception", "../up")
    (line,) = complaints(study)[1:]
    assert line == "models.small.freeze.before: '../up' is not the name of a layer: letters, digits, '_', '-' and '.'"


def test_weights_without_a_published_digest_are_not_offered(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"] = backbone("mobilenetv2", "block_16_expand")
    assert any("weights: 'imagenet' is not allowed" in line for line in complaints(study))


def test_images_smaller_than_a_network_of_keras_takes_are_refused(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"] = backbone("inceptionv3", "mixed9") | {"image_size": 64}
    assert "models.small.image_size: 64 should be greater than or equal to 75" in complaints(study)


def test_a_subset_needs_two_classes(study: dict[str, Any], complaints: Any) -> None:
    study["datasets"]["more"]["subset"] = {"classes": ["3"]}
    assert complaints(study)[1:] == ["datasets.more.subset.classes: has 1 of at least 2 entries"]


def test_a_folder_may_bring_its_own_splits_so_shares_are_checked_later(study: dict[str, Any], read: Any) -> None:
    study["datasets"]["more"] = {"source": {"name": "folder", "path": "photos"}}
    assert read(study).datasets["more"].split.test is None


def test_threads_backend_and_determinism_decide_bits_and_nothing_else_does(study: dict[str, Any], read: Any) -> None:
    compute = read(study).compute
    assert compute == {"backend": "tensorflow", "deterministic": True, "threads": 4}
    assert read(study | {"title": "x", "seeds": [5]}).compute == compute
    assert read(study | {"threads": 2}).compute != compute


def test_a_job_names_the_module_of_its_own_part(study: dict[str, Any], read: Any) -> None:
    plain = read(study)
    assert plain.models["small"].code_modules == ("graft.models.simcnn",)
    assert plain.ensembles["pair"].code_modules == ("graft.ensembles.soft_vote",)
    assert plain.datasets["digits"].code_modules == ("graft.sources.digits",)


def test_a_study_that_was_read_does_not_change(study: dict[str, Any], read: Any) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(study).threads = 8


@pytest.mark.parametrize("key", ["study", "datasets", "models"])
def test_three_keys_make_a_study(study: dict[str, Any], complaints: Any, read: Any, key: str) -> None:
    needed = {name: study[name] for name in ("study", "datasets", "models")}
    assert isinstance(read(needed), Study)
    assert f"{key}: is required" in complaints(without(needed, key))


def preset(handle: str) -> dict[str, Any]:
    return {"architecture": f"hub:{handle}", "image_size": 64, "train": {"epochs": 1}}


@pytest.mark.parametrize("freeze", ["all", {"before": "stack3"}])
@pytest.mark.parametrize(
    "handle", ["resnet_18_imagenet", "hf://keras/resnet_18_imagenet", "kaggle://keras/resnetv1/keras/resnet_18/3"]
)
def test_a_preset_is_a_backbone_with_features_in_a_folder_of_a_safe_name(
    study: dict[str, Any], read: Any, handle: str, freeze: Any
) -> None:
    study["models"]["small"] = preset(handle) | {"weights": "preset", "freeze": freeze}
    plain = read(study)
    assert plain.models["small"].frozen
    assert plain.models["small"].weights_file is None
    assert plain.models["small"].code_modules == ("graft.models.keras_hub",)
    assert re.fullmatch(r"hub-[A-Za-z0-9_-]+-(all|stack3)-[0-9a-f]{10}", plain.features_name("small"))


def test_a_run_may_start_from_another_of_the_same_preset_alone(
    study: dict[str, Any], read: Any, complaints: Any
) -> None:
    study["models"]["before"] = preset("resnet_18_imagenet")
    study["models"]["small"] = preset("resnet_18_imagenet") | {"weights": {"run": "before"}}
    assert read(study).starts_from(Run("digits", "small", 0)) == Run("digits", "before", 0)
    study["models"]["before"] = preset("resnet_50_imagenet")
    assert complaints(study)[1].endswith(
        "'before' is of architecture hub:resnet_50_imagenet, and this model of hub:resnet_18_imagenet"
    )


def test_a_study_with_a_preset_is_read_without_keras(study: dict[str, Any], study_path: Any) -> None:
    study["models"]["small"] = preset("resnet_18_imagenet")
    code = "import sys; from graft.study_file import read_study; read_study(sys.argv[1]); print(*sys.modules)"
    root = Path(__file__).resolve().parents[2]
    loaded = subprocess.check_output([sys.executable, "-c", code, study_path(study)], cwd=root, text=True).split()
    assert "graft.models.keras_hub" in loaded
    assert not {"keras", "keras_hub", "tensorflow"} & set(loaded)
