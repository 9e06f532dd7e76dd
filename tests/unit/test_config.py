import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from graft.config import Run, Study
from graft.config.data import Split
from graft.config.ensembles import Member
from graft.config.models import Head
from graft.config.train import Adam, EarlyStopping, Train


def without(study: dict[str, Any], *path: str) -> dict[str, Any]:
    place = study
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return study


def test_members_by_pattern_folds_trials_and_files(study: dict[str, Any], read: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.touch()
    study["models"]["parted"] = study["models"]["small"] | {"folds": 3}
    study["models"]["student"] = study["models"]["small"] | {"distill": {"ensemble": "everything"}}
    study["ensembles"] |= {
        "fitting": {"method": "soft_vote", "members": ["*e*", "small"]},
        "parts": {"method": "soft_vote", "members": ["parted"]},
        "more": {
            "method": "soft_vote",
            "members": [{"trials": "tuned", "best": 2}, {"predictions": str(other)}],
            "datasets": ["digits"],
        },
        "joined": {"method": "concat", "members": [{"run": "probe", "dataset": "more"}], "datasets": ["digits"]},
    }
    found = read(study)
    names = {name: [member.name for member in found.members(name, "digits")] for name in found.ensembles}
    assert names["fitting"] == [
        "probe seed 0",
        "probe seed 1",
        "tuned seed 0",
        "tuned seed 1",
        "small seed 0",
        "small seed 1",
    ]
    assert {name.split()[0] for name in names["everything"]} == {"small", "probe", "tuned"}  # no student, no folds
    assert found.members("parts", "digits") == [Member("folds", "parted folds", "digits", "parted", (0, 1, 2))]
    assert [(m.kind, m.most) for m in found.members("more", "digits")] == [("trials", 2), ("file", None)]
    assert [(m.dataset, m.seeds) for m in found.members("joined", "digits")] == [("more", (0,)), ("more", (1,))]
    assert [run.seed for run in found.runs if run == ("digits", "parted", run.seed)] == [0, 1, 2]


def test_runs_are_every_model_on_each_of_its_data_sets_from_every_seed(study: dict[str, Any], read: Any) -> None:
    names = [("digits", "small"), ("more", "small"), ("digits", "probe"), ("more", "probe"), ("digits", "tuned")]
    assert read(study).runs == tuple(Run(dataset, model, seed) for dataset, model in names for seed in (0, 1))


def test_a_model_without_data_sets_is_for_all_of_them(study: dict[str, Any], read: Any) -> None:
    plain = read(study)
    assert plain.datasets_of(plain.models["small"]) == ["digits", "more"]
    assert plain.models_on("more") == ["small", "probe"]
    assert plain.models_on("digits") == ["small", "probe", "tuned"]


def test_members_are_every_seed_of_each_model_named(study: dict[str, Any], read: Any) -> None:
    members = [("run", "more", model, (seed,)) for model in ("small", "probe") for seed in (0, 1)]
    assert [(m.kind, m.dataset, m.model, m.seeds) for m in read(study).members("pair", "more")] == members


def test_members_all_are_the_models_on_that_data_set(study: dict[str, Any], read: Any) -> None:
    plain = read(study)
    assert {member.model for member in plain.members("everything", "digits")} == {"small", "probe", "tuned"}
    assert {member.model for member in plain.members("everything", "more")} == {"small", "probe"}


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


# -- tuning --------------------------------------------------------------------------------------------------------------

RATE = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
OPTIMIZER = {"train.optimizer.name": {"choices": ["adam", "sgd"]}}
MOMENTUM = {"train.optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"train.optimizer.name": "sgd"}}}
EPOCHS = {"train.epochs": {"low": 1, "high": 3}}
BACKBONE = {
    "architecture": "efficientnet_lite0",
    "image_size": 64,
    "weights": "imagenet",
    "head": {"dense": [64, 32]},
    "train": {"epochs": 3, "optimizer": {"name": "sgd", "momentum": 0.5}},
}


def tuned(study: dict[str, Any], tune: dict[str, Any], model: dict[str, Any] = BACKBONE) -> dict[str, Any]:
    study["models"]["tuned"] = model | {"datasets": ["digits"], "tune": {"trials": 4, "space": RATE} | tune}
    return study


def test_what_a_search_leaves_unsaid(study: dict[str, Any], read: Any) -> None:
    tune = read(tuned(study, {})).models["tuned"].tune
    assert tune.dump() == {
        "metric": "val_loss",
        "pruner": {"name": "median"},
        "refit": "retrain",
        "sampler": {"multivariate": True, "name": "tpe"},
        "seed": 0,
        "space": RATE,
        "storage": "sqlite",
        "trials": 4,
        "workers": 1,
    }


@pytest.mark.parametrize(
    "said",
    [
        {"workers": 4, "timeout": 3600.0, "storage": "journal"},
        {"top_k": 2, "reruns": 5},
        {"epochs": 2, "refit": "continue"},
        {"start_from": [{"train.learning_rate": 0.001}]},
        {"storage": "postgresql://graft@db.lab/trials"},
        {"storage": "postgresql:///trials"},
        {"storage": "mysql://graft@db.lab/trials?read_default_file=~/.my.cnf"},
        {"storage": "grpc://DB.lab:13000"},
        {"storage": "grpc://[::1]:13000"},
        {"sampler": {"name": "tpe", "multivariate": False, "n_startup_trials": 0, "n_ei_candidates": 9}},
        {"sampler": {"name": "tpe", "multivariate": True, "group": True, "constant_liar": False}},
        {"sampler": {"name": "random"}},
        {"sampler": {"name": "cmaes", "popsize": 4, "lr_adapt": True, "consider_pruned_trials": True}},
        {"sampler": {"name": "gp", "n_startup_trials": 4, "deterministic_objective": True}},
        {"pruner": {"name": "asha", "min_resource": 1, "reduction_factor": 3, "bootstrap_count": 2}},
        {"pruner": {"name": "hyperband", "min_resource": 1, "max_resource": 9, "reduction_factor": 3}},
        {"pruner": {"name": "percentile", "percentile": 25.0, "n_startup_trials": 3, "n_min_trials": 2}},
        {"pruner": {"name": "median", "n_warmup_steps": 2, "interval_steps": 2}},
        {"pruner": {"name": "threshold", "upper": 3.0, "n_warmup_steps": 1}},
        {"pruner": {"name": "none"}},
    ],
    ids=str,
)
def test_what_a_search_says_is_kept(study: dict[str, Any], read: Any, said: dict[str, Any]) -> None:
    dump = read(tuned(study, said)).models["tuned"].tune.dump()
    assert {key: dump[key] for key in said} == said


def test_the_best_trials_are_run_thrice_again_unless_said_otherwise(study: dict[str, Any], read: Any) -> None:
    assert read(tuned(study, {"top_k": 2})).models["tuned"].tune.reruns == 3
    limited = tuned(study, {"top_k": 2, "reruns": 4}) | {"limits": {"epochs": 1}}
    assert read(limited).models["tuned"].tune.reruns == 4


def test_a_reduced_study_searches_less(study: dict[str, Any], read: Any) -> None:
    points = [{"train.learning_rate": rate} for rate in (1e-3, 2e-3, 3e-3)]
    whole = tuned(study, {"top_k": 3, "start_from": points}) | {"limits": {"trials": 2}}
    tune = read(whole).models["tuned"].tune
    assert (tune.trials, tune.top_k, tune.start_from) == (2, 2, points[:2])


def test_trials_whose_rate_depends_on_the_number_of_epochs_are_not_continued(
    study: dict[str, Any], complaints: Any
) -> None:
    model = BACKBONE | {"train": BACKBONE["train"] | {"schedule": "cosine"}}
    assert complaints(tuned(study, {"refit": "continue", "epochs": 1}, model))[1:] == [
        "models.tuned.tune.refit: continue needs a schedule that knows no end: constant or inverse_time; "
        "train.schedule is cosine"
    ]


def test_an_epoch_count_that_optuna_finds_itself_is_left_out(study: dict[str, Any], read: Any) -> None:
    for pruner in ({"name": "asha", "min_resource": "auto"}, {"name": "hyperband", "max_resource": "auto"}):
        assert read(tuned(study, {"pruner": pruner})).models["tuned"].tune.pruner.dump() == {"name": pruner["name"]}


WRONG_TUNE = {
    "sampler that does not exist": ({"sampler": "tpee"}, "sampler: 'tpee' is not a sampler; did you mean 'tpe'?"),
    "pruner that does not exist": ({"pruner": "ashaa"}, "pruner: 'ashaa' is not a pruner; did you mean 'asha'?"),
    "option of another sampler": (
        {"sampler": {"name": "random", "popsize": 3}},
        "sampler.popsize: is not a key here; allowed: name",
    ),
    "groups of single parameters": (
        {"sampler": {"name": "tpe", "group": True, "multivariate": False}},
        "sampler: group: true needs multivariate: true",
    ),
    "two kinds of CMA-ES": (
        {"sampler": {"name": "cmaes", "use_separable_cma": True, "lr_adapt": True}},
        "sampler: use_separable_cma, with_margin and lr_adapt are kinds of CMA-ES; give one",
    ),
    "CMA-ES over choices": (
        {"sampler": "cmaes", "space": RATE | OPTIMIZER},
        "space.train.optimizer.name: has choices, which sampler: cmaes would draw at random; take tpe",
    ),
    "CMA-ES of one dimension made separable": (
        {"sampler": {"name": "cmaes", "use_separable_cma": True}},
        "sampler.use_separable_cma: needs a space of at least two dimensions",
    ),
    "CMA-ES with margin from known points": (
        {"sampler": {"name": "cmaes", "with_margin": True}, "start_from": [{"train.learning_rate": 0.001}]},
        "sampler.with_margin: does not go with start_from: it would learn from other points than these",
    ),
    "conditions in a Gaussian process": (
        {"sampler": "gp", "space": OPTIMIZER | MOMENTUM},
        "space.train.optimizer.momentum: has when, but sampler: gp needs every parameter in every trial; take tpe",
    ),
    "conditions in a grid": (
        {
            "sampler": "grid",
            "space": {
                "train.epochs": {"low": 1, "high": 3},
                "train.batch_size": {"choices": [8, 16], "when": {"train.epochs": 1}},
            },
        },
        "space.train.batch_size: has when, but sampler: grid needs every parameter in every trial; take tpe",
    ),
    "grid without an end": (
        {"sampler": "grid"},
        "space.train.learning_rate: is no finite set, as sampler: grid needs; give it a step, or choices",
    ),
    "more trials than the grid has points": (
        {"trials": 31, "sampler": "grid", "space": EPOCHS | {"train.l2": {"low": 0.1, "high": 1.0, "step": 0.1}}},
        "trials: 31 is more than the 30 points of the grid",
    ),
    "part of a point of a grid": (
        {
            "sampler": "grid",
            "space": EPOCHS | {"train.batch_size": {"choices": [8, 16]}},
            "start_from": [{"train.epochs": 2}],
        },
        "start_from[0]: leaves out train.batch_size; with sampler: grid a point is whole",
    ),
    "bootstrap from nothing": (
        {"pruner": {"name": "asha", "bootstrap_count": 2}},
        "pruner: bootstrap_count needs min_resource",
    ),
    "factor of one": (
        {"pruner": {"name": "hyperband", "reduction_factor": 1}},
        "pruner.reduction_factor: 1 should be greater than or equal to 2",
    ),
    "resources the wrong way round": (
        {"pruner": {"name": "hyperband", "min_resource": 3, "max_resource": 2}},
        "pruner: min_resource must not be more than max_resource",
    ),
    "resource in words": (
        {"pruner": {"name": "asha", "min_resource": "least"}},
        "pruner.min_resource: 'least' is not a whole number",
    ),
    "percentile without a percentile": ({"pruner": "percentile"}, "pruner.percentile: is required"),
    "percentile over 100": (
        {"pruner": {"name": "percentile", "percentile": 101}},
        "pruner.percentile: 101 should be less than or equal to 100",
    ),
    "threshold without one": ({"pruner": "threshold"}, "pruner: threshold needs lower, upper or both"),
    "thresholds the wrong way round": (
        {"pruner": {"name": "threshold", "lower": 2.0, "upper": 1.0}},
        "pruner: lower must not be more than upper",
    ),
    "no worker": ({"workers": 0}, "workers: 0 should be greater than or equal to 1"),
    "no time": ({"timeout": 0}, "timeout: 0 should be greater than 0"),
    "more of the best than all": ({"top_k": 5}, "top_k: 5 is more than trials: 4"),
    "runs again of none": ({"reruns": 3}, "reruns: needs top_k: of how many of the best trials"),
    "a single run again": ({"top_k": 2, "reruns": 1}, "reruns: 1 should be greater than or equal to 2"),
    "whole trials continued": (
        {"refit": "continue"},
        "refit: continue needs epochs: without them each trial is a whole training already",
    ),
    "password of PostgreSQL": (
        {"storage": "postgresql://me:secret@db.lab/trials"},
        "storage: an address with a password is not taken, for the report shows it; put it into ~/.pgpass",
    ),
    "password of MySQL": (
        {"storage": "mysql://db.lab/trials?user=me&password=secret"},
        "storage: an address with a password is not taken, for the report shows it; put it into ~/.my.cnf, and "
        "?read_default_file=~/.my.cnf behind the address",
    ),
    "storage that is no text": ({"storage": 3}, "storage: 3 is not text; write it in quotes"),
}


@pytest.mark.parametrize(("tune", "text"), WRONG_TUNE.values(), ids=WRONG_TUNE)
def test_what_a_search_may_not_say_gives_one_line(
    study: dict[str, Any], complaints: Any, tune: dict[str, Any], text: str
) -> None:
    assert complaints(tuned(study, tune))[1:] == [f"models.tuned.tune.{text}"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://db.lab", "redis://db.lab"),
        ("oracle://me:secret@db.lab/trials", "oracle://...@db.lab/trials"),
        ("postgresql://db.lab", "postgresql://db.lab"),
        ("mysql:///", "mysql:///"),
        ("grpc://db.lab", "grpc://db.lab"),
        ("grpc://db.lab:1300/trials", "grpc://db.lab:1300/trials"),
        ("grpc://me@db.lab:1300", "grpc://...@db.lab:1300"),
        ("postgresql+psycopg://db.lab/trials", "postgresql+psycopg://db.lab/trials"),
        ("grpc://db.lab:port", "grpc://db.lab:port"),
        ("postgresql://[::1/trials", "postgresql://[::1/trials"),
        ("postgresql://db.lab/my trials", "postgresql://db.lab/my trials"),
        ("sqlite:///trials.db", "sqlite:///trials.db"),
        ("", ""),
    ],
)
def test_a_storage_that_is_none_is_named_without_its_password(
    study: dict[str, Any], complaints: Any, address: str, shown: str
) -> None:
    allowed = "sqlite, journal, postgresql://<host>/<database>, mysql://<host>/<database> or grpc://<host>:<port>"
    line = f"models.tuned.tune.storage: '{shown}' is not a storage; allowed: {allowed}"
    assert complaints(tuned(study, {"storage": address}))[1:] == [line]


SPACES = {
    "parameter of one optimizer": OPTIMIZER | MOMENTUM,
    "optimizers that share an option": {
        "train.optimizer.name": {"choices": ["rmsprop", "sgd"]},
        "train.optimizer.momentum": {"low": 0.0, "high": 0.9},
    },
    "conditions in any order": {
        "train.schedule.peak": {"low": 0.1, "high": 0.5, "when": {"train.schedule.name": "triangular"}},
        "train.schedule.name": {
            "choices": ["constant", "triangular"],
            "when": {"train.epochs": [2, 3]},
            "otherwise": "constant",
        },
        "train.epochs": {"low": 1, "high": 3},
    },
    "steps": {
        "train.batch_size": {"low": 8, "high": 64, "step": 8},
        "head.dropout": {"low": 0.0, "high": 0.9, "step": 0.3},
    },
    "steps of any number between whole ones": {"train.optimizer.clipnorm": {"low": 1, "high": 2, "step": 0.5}},
    "whole steps of a field of any number": {"train.optimizer.clipnorm": {"low": 1, "high": 9, "step": 2}},
    "entries of a list": {
        "head.dense[0]": {"low": 8, "high": 64, "log": True},
        "head.dense[1]": {"choices": [None, 16]},
    },
    "lists": {"head.dense": {"choices": [[], [64], [64, 32]]}},
    "what is frozen without stored activations": {"freeze": {"choices": ["none", ["stage5"], ["stage5", "stage6"]]}},
    "a section or none": {"train.early_stopping": {"choices": [None, {"patience": 2, "metric": "val_loss"}]}},
    "sections in sections": {
        "train.augment": {"choices": [{"randaugment": {"number": 2, "magnitude": 9}}, {"flip": True}]}
    },
    "a condition on none": {
        "train.label_smoothing": {"choices": [None, 0.1]},
        "train.ema": {"low": 0.9, "high": 0.99, "when": {"train.label_smoothing": [None]}},
    },
    "values that never meet": {
        "train.optimizer.name": {"choices": ["adam", "sgd", "rmsprop"]},
        "train.optimizer.nesterov": {"choices": [True, False], "when": {"train.optimizer.name": "sgd"}},
        "train.optimizer.rho": {"low": 0.8, "high": 0.9, "when": {"train.optimizer.name": ["rmsprop"]}},
        "train.optimizer.momentum": {"low": 0.0, "high": 0.9, "when": {"train.optimizer.name": ["sgd", "rmsprop"]}},
    },
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_fields_of_a_model_can_be_searched(study: dict[str, Any], read: Any, space: dict[str, Any]) -> None:
    assert list(read(tuned(study, {"space": space})).models["tuned"].tune.space) == list(space)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_what_any_trial_of_an_accepted_space_runs_is_a_model_as_it_would_be_read(
    study: dict[str, Any], read: Any, space: dict[str, Any]
) -> None:
    import optuna

    from graft.tuning.space import chosen_spec, suggest

    model = read(tuned(study, {"space": space})).models["tuned"]
    plain = model.tune.dump()["space"]
    search = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        chosen = chosen_spec(model.trained, plain, suggest(search.ask(), plain))
        trial = type(model).model_validate(chosen)
        assert trial.trained == chosen
        assert trial.reads == model.reads


WRONG_SPACES = {
    "high out of step": (
        {"train.learning_rate": {"low": 0.1, "high": 1.0, "step": 0.2}},
        ".train.learning_rate: high: 1.0 is not reached in steps of 0.2; write high: 0.9",
    ),
    "whole high out of step": (
        {"train.batch_size": {"low": 16, "high": 64, "step": 20}},
        ".train.batch_size: high: 64 is not reached in steps of 20; write high: 56",
    ),
    "step larger than the range": (
        {"train.epochs": {"low": 1, "high": 3, "step": 4}},
        ".train.epochs: step: 4 is more than lies between low: 1 and high: 3",
    ),
    "steps without number": (
        {"train.learning_rate": {"low": 0.1, "high": 1e300, "step": 1e-300}},
        ".train.learning_rate: step: 1e-300 makes more than 1e+15 steps",
    ),
    "whole numbers that Optuna does not tell apart": (
        {"train.batch_size": {"low": 1, "high": 10**400}},
        f".train.batch_size.high: 1{'0' * 56}... should be less than or equal to 1000000000000000",
    ),
    "no step": (
        {"train.learning_rate": {"low": 0.1, "high": 0.3, "step": 0.0}},
        ".train.learning_rate.step: 0.0 should be greater than 0",
    ),
    "steps of a logarithm": (
        {"train.batch_size": {"low": 1, "high": 9, "step": 2, "log": True}},
        ".train.batch_size: log: true and step do not go together; leave out either",
    ),
    "a choice twice": ({"train.epochs": {"choices": [1, 2, 1.0]}}, ".train.epochs.choices: names 1 more than once"),
    "choices that are one to Optuna": (
        {"train.jit": {"choices": [True, 1]}},
        ".train.jit.choices: true and 1 are the same to Optuna; leave out either",
    ),
    "text that a list is stored as": (
        {"freeze": {"choices": [["stage5"], '["stage5"]']}},
        '.freeze.choices: ["stage5"] and ["stage5"] are the same to Optuna; leave out either',
    ),
    "choice that is a date": (
        {"train.epochs": {"choices": [date(2024, 1, 2)]}},
        ".train.epochs.choices[0]: datetime.date(2024, 1, 2) is not text, a finite number, true or false",
    ),
    "otherwise in every trial": (
        {"train.epochs": {"low": 1, "high": 3, "otherwise": 2}},
        ".train.epochs: otherwise needs when: it is for the trials in which that does not hold",
    ),
    "a field and what holds it": (
        {"train.optimizer": {"choices": [{"name": "adam"}]}, "train.optimizer.weight_decay": {"low": 0.1, "high": 0.2}},
        ".train.optimizer: holds train.optimizer.weight_decay, which is tuned too; leave out either",
    ),
    "condition on what is not searched": (
        OPTIMIZER | {"train.epochs": {"low": 1, "high": 3, "when": {"train.optimizer.nam": "sgd"}}},
        ".train.epochs.when: 'train.optimizer.nam' is not another parameter of the space; did you mean "
        "'train.optimizer.name'?",
    ),
    "condition on itself": (
        {"train.epochs": {"low": 1, "high": 3, "when": {"train.epochs": 2}}},
        ".train.epochs.when: 'train.epochs' is not another parameter of the space; there are none",
    ),
    "condition on any number": (
        RATE | {"train.epochs": {"low": 1, "high": 3, "when": {"train.learning_rate": 1e-3}}},
        ".train.epochs.when: train.learning_rate is a range of any number; a condition is on choices or on a range of "
        "whole numbers",
    ),
    "condition on a choice that is none": (
        OPTIMIZER | {"train.epochs": {"low": 1, "high": 3, "when": {"train.optimizer.name": ["sgd", "lion"]}}},
        ".train.epochs.when: train.optimizer.name is never lion; it is one of adam, sgd",
    ),
    "condition on a number out of range": (
        EPOCHS | {"train.batch_size": {"low": 1, "high": 9, "when": {"train.epochs": 4}}},
        ".train.batch_size.when: train.epochs is never 4; it is a whole number from 1 to 3",
    ),
    "conditions in a circle": (
        {
            "train.epochs": {"low": 1, "high": 3, "when": {"train.batch_size": 8}},
            "train.batch_size": {"low": 8, "high": 16, "when": {"train.epochs": 1}},
        },
        ".train.epochs.when: goes round in a circle: train.epochs needs train.batch_size needs train.epochs",
    ),
    "conditions that exclude each other": (
        {
            "train.epochs": {"low": 1, "high": 3},
            "train.ema": {"choices": [None, 0.9], "when": {"train.epochs": 1}},
            "train.l2": {"low": 0.1, "high": 0.2, "when": {"train.ema": 0.9, "train.epochs": 2}},
        },
        ".train.l2.when: never holds, for its conditions exclude each other",
    ),
    "end that its condition does not help": (
        OPTIMIZER
        | MOMENTUM
        | {"train.optimizer.rho": {"low": 0.1, "high": 0.9, "when": {"train.optimizer.name": "sgd"}}},
        ".train.optimizer.rho: is not a key here; allowed: name, weight_decay, clipnorm, global_clipnorm, clipvalue, "
        "momentum, nesterov",
    ),
    "value of a condition that does not go with it": (
        {
            "train.epochs": {"low": 4, "high": 9},
            "train.schedule.name": {"choices": ["cosine", "constant"]},
            "train.warmup_epochs": {
                "low": 2,
                "high": 4,
                "when": {"train.epochs": [5, 4], "train.schedule.name": "cosine"},
            },
        },
        ": train.epochs: 4 and train.warmup_epochs: 4 do not go together: warmup_epochs must be fewer than epochs",
    ),
    "value of the model that does not go with others": (
        OPTIMIZER | {"train.optimizer.momentum": {"low": 0.0, "high": 0.9}},
        ": train.optimizer.name: adam and train.optimizer.momentum do not go together: is not a key here; allowed: name, "
        "weight_decay, clipnorm, global_clipnorm, clipvalue, beta_1, beta_2, epsilon",
    ),
    "field with a default and a condition": (
        {
            "train.ema": {"choices": [None, 0.9]},
            "head.dropout": {"low": 0.1, "high": 0.9, "when": {"train.ema": 0.9}},
        },
        ".head.dropout: is 0.0 where its when does not hold; add otherwise: 0.0, or another value",
    ),
    "otherwise that the field refuses": (
        {
            "train.ema": {"choices": [None, 0.9]},
            "head.dropout": {"low": 0.1, "high": 0.9, "when": {"train.ema": 0.9}, "otherwise": 1.5},
        },
        ".head.dropout: 1.5 should be less than 1",
    ),
    "null of a field with a default": (
        {"train.schedule": {"choices": [None, {"name": "cosine"}]}},
        '.train.schedule: null leaves this out, which then is {"name": "constant"}; write that in its place',
    ),
    "null of a field without one": ({"train.epochs": {"choices": [None, 3]}}, ".train.epochs: is required"),
    "null in a choice": (
        {"train.augment": {"choices": [{"flip": True, "crop": None}]}},
        ".train.augment: train.augment.crop: is null; leave it out",
    ),
    "section in part": (
        {"train.early_stopping": {"choices": [{"patience": 2}, None]}},
        ".train.early_stopping: train.early_stopping.metric: is left out, and then is val_loss; name it too",
    ),
    "field of a section that the model lacks": (
        {"train.early_stopping.patience": {"low": 1, "high": 2}},
        ".train.early_stopping.patience: train.early_stopping.metric: is left out, and then is val_loss; name it too",
    ),
    "value in a section": (
        {"train.augment": {"choices": [{"crop": -1}]}},
        ".train.augment: train.augment.crop: -1 should be greater than or equal to 1",
    ),
    "entry that the list lacks": (
        {"head.dense[2]": {"low": 8, "high": 16}},
        "['head.dense[2]']: head.dense has 2 entries in this model, counted from [0]",
    ),
    "entry of what is no list": (
        {"head.pooling[0]": {"choices": ["avg"]}},
        "['head.pooling[0]']: head.pooling is not a list in this model",
    ),
    "entry out of range": (
        {"head.dense[1]": {"low": 0, "high": 16}},
        "['head.dense[1]']: 0 should be greater than or equal to 1",
    ),
    "stored activations": (
        {"freeze": {"choices": ["none", "all"]}},
        ".freeze: changes which activations are stored; a model with freeze: none or a list of stages can be tuned among "
        "none and lists; for others, make several models",
    ),
}


@pytest.mark.parametrize(("space", "text"), WRONG_SPACES.values(), ids=WRONG_SPACES)
def test_a_space_that_does_not_fit_gives_one_line(
    study: dict[str, Any], complaints: Any, space: dict[str, Any], text: str
) -> None:
    assert complaints(tuned(study, {"space": space}))[1:] == [f"models.tuned.tune.space{text}"]


def test_a_choice_that_holds_itself_has_an_end(complaints: Any) -> None:
    (line,) = complaints(CIRCULAR)[1:]
    assert line.endswith("choices[0]: lists and mappings lie more than 5 deep in each other")


CIRCULAR = """
study: circular
datasets: {digits: {source: digits, split: {validation: 0.1, test: 0.2}}}
models:
  tuned:
    architecture: simcnn
    image_size: 32
    train: {epochs: 3}
    tune: {trials: 3, space: {train.epochs: {choices: [&a [*a]]}}}
"""


def test_batches_are_searched_in_steps_that_gpus_share_evenly(
    study: dict[str, Any], read: Any, complaints: Any
) -> None:
    for step, lines in ((4, []), (3, ["step: 3 leaves multiples of gpu: 2; write choices: multiples of gpu: 2"])):
        space = {"train.batch_size": {"low": 8, "high": 20, "step": step}}
        searched = tuned(study, {"space": space}, BACKBONE | {"gpu": 2})
        if lines:
            assert complaints(searched)[1:] == [f"models.tuned.tune.space.train.batch_size: {line}" for line in lines]
        else:
            assert read(searched).models["tuned"].tune


STARTS = {
    "unknown path": ({"train.epoch": 3}, "'train.epoch' is not a parameter of the space; did you mean 'train.epochs'?"),
    "number out of range": (
        {"train.epochs": 6},
        "train.epochs: 6 is not a whole number from 1 to 5 in steps of 2",
    ),
    "number between steps": ({"train.epochs": 2}, "train.epochs: 2 is not a whole number from 1 to 5 in steps of 2"),
    "true for one": ({"train.epochs": True}, "train.epochs: true is not a whole number from 1 to 5 in steps of 2"),
    "text for a number": ({"head.dropout": "x"}, "head.dropout: x is not a number from 0.0 to 0.5"),
    "choice that is none": (
        {"train.optimizer.name": "lion"},
        "train.optimizer.name: lion is not one of adam, sgd",
    ),
    "parameter of another optimizer": (
        {"train.optimizer.name": "adam", "train.optimizer.momentum": 0.1},
        "train.optimizer.momentum is for train.optimizer.name: sgd alone; name that too, or leave this out",
    ),
    "parameter without its condition": (
        {"train.optimizer.momentum": 0.1},
        "train.optimizer.momentum is for train.optimizer.name: sgd alone; name that too, or leave this out",
    ),
}
START_SPACE = (
    OPTIMIZER | MOMENTUM | {"train.epochs": {"low": 1, "high": 5, "step": 2}, "head.dropout": {"low": 0.0, "high": 0.5}}
)


@pytest.mark.parametrize(("point", "text"), STARTS.values(), ids=STARTS)
def test_a_point_to_start_from_lies_in_the_space(
    study: dict[str, Any], complaints: Any, point: dict[str, Any], text: str
) -> None:
    start = [{"train.optimizer.name": "sgd", "train.optimizer.momentum": 0.1, "train.epochs": 5}, point]
    lines = complaints(tuned(study, {"space": START_SPACE, "start_from": start}))[1:]
    assert lines == [f"models.tuned.tune.start_from[1]: {text}"]


def test_a_point_to_start_from_is_one_that_the_model_takes(study: dict[str, Any], complaints: Any) -> None:
    """Of three values that do not go together, each two do."""
    changes = {"flip": True, "crop": 4, "erase": 0.2}
    model = BACKBONE | {"train": {"epochs": 3, "augment": changes}}
    space = {f"train.augment.{name}": {"choices": [None, value]} for name, value in changes.items()}
    start = [{"train.augment.flip": None}, dict.fromkeys(space)]
    assert complaints(tuned(study, {"space": space, "start_from": start}, model))[1:] == [
        "models.tuned.tune.start_from[1]: train.augment: is empty; it needs at least one of flip, crop, resized_crop, "
        "randaugment, erase, mixup, cutmix"
    ]


def test_a_search_starts_from_no_more_points_than_it_has_trials(study: dict[str, Any], complaints: Any) -> None:
    line = "models.tuned.tune.start_from: has 5 points, which is more than trials: 4"
    assert complaints(tuned(study, {"start_from": [{"train.learning_rate": 1e-3}] * 5}))[1:] == [line]
