"""The shipped studies against the reports that they repeat, whose numbers are typed here once more."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.config import Study
from graft.finetune import build_network
from graft.study_file import read_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"
SHIPPED = sorted(path.stem for path in STUDIES.glob("*.yaml"))
STUDY = {name: read_study(STUDIES / f"{name}.yaml") for name in SHIPPED}
TRANSFER, TINY, FLOWERS, SMALL, SIMCNN = REPORTED = (
    "cifar100_transfer_ensemble",
    "tiny_imagenet_finetune_ensemble",
    "flowers_finetuning",
    "cifar_small_networks",
    "cifar10_simcnn_resnet50",
)


def header(name: str) -> str:
    """The comment that a study opens with."""
    text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
    return text[: text.index("\nstudy:")]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_study_has_the_name_of_its_file_and_says_what_it_is(name: str) -> None:
    assert STUDY[name].study == name
    assert STUDY[name].title
    assert STUDY[name].description


def test_every_report_has_a_study() -> None:
    assert {name for name, study in STUDY.items() if study.reference} == set(REPORTED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_opening_comment_has_schema_command_needs_and_time(name: str) -> None:
    first, *rest = header(name).splitlines()
    assert first == "# yaml-language-server: $schema=../graft/study.schema.json"
    assert re.findall(r"#   (snakemake .*)", "\n".join(rest)) == [
        f"snakemake --cores all --configfile studies/{name}.yaml"
    ]
    text = " ".join(line.removeprefix("# ") for line in rest)
    assert "downloads" in text
    assert "GPU" in text
    assert "two cores" in text
    assert ("estimates" in text) == (name in REPORTED)


DOWNLOADS = {"cifar10": 170, "cifar100": 169, "tiny_imagenet": 248, "flower_photos": 229, "mnist": 12}  # MB


@pytest.mark.parametrize("name", SHIPPED)
def test_the_opening_comment_names_each_download(name: str) -> None:
    files = {model.weights_file for model in STUDY[name].models.values() if model.weights_file}
    sizes = [DOWNLOADS[s] for s in {data.source.name for data in STUDY[name].datasets.values()} if s in DOWNLOADS]
    sizes += [95 for _ in files]  # ResNet50 without its top: 94,765,736 bytes
    assert sorted(map(int, re.findall(r"\((\d+) MB", header(name)))) == sorted(sizes)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_table_of_studies_has_every_study(name: str) -> None:
    row = next(line for line in (STUDIES / "README.md").read_text().splitlines() if line.startswith(f"| [`{name}`]"))
    assert row.startswith(f"| [`{name}`]({name}.yaml) |")
    sizes = sum(map(int, re.findall(r"\((\d+) MB", header(name))))
    downloads = re.search(r"\| (\d+) MB \|", row)
    assert (int(downloads[1]) if downloads else 0) == pytest.approx(sizes, abs=2)


def test_variants_in_the_table_of_studies_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (STUDIES / "README.md").read_text(), re.DOTALL)
    studies = []
    for block in blocks:
        path = tmp_path / "study.yaml"
        path.write_text(block.replace("extends: ", f"extends: {STUDIES}/"), encoding="utf-8")
        studies.append(read_study(path))
    tried, here = studies
    assert list(tried.models) == ["lite0_probe", "lite0_finetune"]
    assert list(tried.ensembles) == ["lite0"]
    assert tried.reference is None
    assert list(here.models) == list(STUDY[FLOWERS].models)
    assert here.datasets["flowers"].source.sha256 is not None
    assert here.mirror


# -- published figures ---------------------------------------------------------------------------------------------------


def of(
    model: str, test: dict[str, float] | None = None, images: int | None = None, **others: dict[str, float]
) -> tuple[Any, ...]:
    return model, images, test, others.get("validation"), others.get("train")


def accuracy(top1: float, log_loss: float | None = None) -> dict[str, float]:
    return {"top1": top1} | ({} if log_loss is None else {"log_loss": log_loss})


# Test loss and test accuracy of figure 15 of the report on flowers.
FIGURE_15 = {
    "model_01": (0.52999, 0.85143),
    "model_02": (1.26781, 0.70857),
    "model_03": (0.86317, 0.68000),
    "model_04": (1.34390, 0.76571),
    "model_05": (0.98356, 0.77143),
    "model_06": (0.93507, 0.80571),
    "model_07": (0.85349, 0.86857),
    "model_08": (0.83125, 0.86286),
    "model_09": (1.21581, 0.78857),
    "model_10": (0.52568, 0.84571),
    "model_11": (0.87438, 0.78857),
    "model_12": (0.52680, 0.84000),
    "model_13": (0.56724, 0.82857),
    "model_14": (0.42535, 0.88571),
}
FROM_CURVES = {"model_01": 0.90, "model_02": 0.80, "model_03": 0.80}

PUBLISHED = {
    TRANSFER: [
        of("resnet50", accuracy(0.40), 10_000, train=accuracy(0.48)),
        of("resnet50_imagenet", accuracy(0.5435, 52.4532), 10_000, train=accuracy(0.6036, 1.5613)),
        of("resnet50_imagenet", train=accuracy(0.8434, 0.6076)),
        of("dcnn", accuracy(0.4983, 1.8817), 10_000, train=accuracy(0.4192, 2.1615)),
        of("dcnn", train=accuracy(0.4669, 1.9406)),
        of("dcnn_tuned", accuracy(0.4983), 10_000),
        of("resnet50_and_dcnn", accuracy(0.5499), 10_000),
    ],
    TINY: [
        *(
            figure
            for prefix in ("resnet50", "resnet50_imagenet")
            for figure in (
                of(prefix, accuracy(0.5651, 2.1671), 10_000, train=accuracy(0.8733)),
                of(f"{prefix}_finetuned", accuracy(0.5560, 2.5095), 10_000, train=accuracy(0.9537)),
                of(f"{prefix}_pair", accuracy(0.5663, 2.4365), 10_000, train=accuracy(0.9449)),
            )
        ),
        of("dcnn_glorot", accuracy(0.8058), 448, train=accuracy(0.9695)),
        of("five_mlps", accuracy(0.97), 10_000),
    ],
    FLOWERS: [
        of(
            model,
            accuracy(top1, loss),
            175,
            **({"train": accuracy(FROM_CURVES[model])} if model in FROM_CURVES else {}),
        )
        for model, (loss, top1) in FIGURE_15.items()
    ],
    SMALL: [
        of("toy_resnet", {"top1": 0.769, "top5": 0.983}, 10_000),
        of("all_cnn", {"top1": 0.610, "top5": 0.945}, 10_000),
        of("all_cnn_100", {"top5": 0.689}, 10_000),
        of("toy_resnet_100", {"top5": 0.798}, 10_000),
        of("machinecurve_cnn", {"top5": 0.674}, 10_000),
    ],
    SIMCNN: [
        of("simcnn", accuracy(0.6875, 0.9260), 32, validation=accuracy(0.6250, 1.1074), train=accuracy(0.7034, 0.8393)),
        of(
            "resnet50_01",
            accuracy(0.9593, 0.1683),
            10_000,
            validation={"log_loss": 0.2493},
            train=accuracy(0.9878, 0.0352),
        ),
        of(
            "resnet50_02",
            accuracy(0.9467, 0.2565),
            10_000,
            validation=accuracy(0.9375, 0.3719),
            train=accuracy(1.0, 0.00098854),
        ),
    ],
}


@pytest.mark.parametrize("name", REPORTED)
def test_figures_are_those_of_the_report(name: str) -> None:
    reference = STUDY[name].reference
    assert reference
    figures = [
        (figure.of, figure.images, *(metrics and metrics.dump() for metrics in (figure.test, figure.validation, figure.train)))
        for figure in reference.figures
    ]  # fmt: skip
    assert sorted(figures, key=repr) == sorted(PUBLISHED[name], key=repr)
    assert reference.remarks


def test_published_shares_are_counts_of_their_images() -> None:
    """As far as the digits go: what is no count of so many images was misread, or measured on others."""
    for figures in PUBLISHED.values():
        for _, images, test, _, _ in figures:
            for share in (share for metric, share in (test or {}).items() if metric != "log_loss"):
                digits = len(f"{share}".partition(".")[2])
                assert round(round(share * images) / images, digits) == share


# -- models --------------------------------------------------------------------------------------------------------------


def network(study: Study, model: str, classes: int) -> Any:
    """The network that a study describes, with random weights, for which no file is needed."""
    described = {key: value for key, value in study.models[model].trained.items() if key != "train"}
    return build_network(**described | {"weights": "none", "classes": classes})


def parameters(study: Study, model: str, classes: int) -> tuple[int, int]:
    """All parameters, and those outside of batch normalisation's statistics, frozen or not."""
    built = network(study, model, classes)
    statistics = sum(
        int(np.prod(w.shape)) for w in built.weights if w.path.endswith(("moving_mean", "moving_variance"))
    )
    return built.count_params(), built.count_params() - statistics


@pytest.mark.parametrize(
    ("study", "model", "classes", "total", "can_train"),
    [
        (SIMCNN, "simcnn", 10, 123_210, 122_890),
        (SIMCNN, "resnet50_01", 10, 26_215_818, 26_162_698),
        (TRANSFER, "resnet50_imagenet", 1000, 26_710_888, 26_657_768),  # the report's number of outputs
        (TINY, "resnet50", 200, 23_997_512, 23_944_392),  # the author's notebook
        (SMALL, "toy_resnet", 10, 223_242, 223_242),
        (SMALL, "toy_resnet_guide", 10, 223_242, 223_242),
        (SMALL, "all_cnn", 10, 839_352, 839_352),
        (SMALL, "all_cnn_dropout", 10, 839_352, 839_352),
        (SMALL, "toy_resnet_100", 100, 340_324, 340_324),
        (SMALL, "machinecurve_cnn", 100, 270_372, 270_372),
        (SMALL, "all_cnn_c", 10, 1_369_738, 1_369_738),
    ],
)
def test_networks_have_the_published_parameters(
    keras: Any, study: str, model: str, classes: int, total: int, can_train: int
) -> None:
    assert parameters(STUDY[study], model, classes) == (total, can_train)
    keras.backend.clear_session()


# Of figure 15 of the report on flowers: learning rate, decay, dropout, and the widths of the dense layers.
HYPERPARAMETERS = {
    "model_01": (5e-6, 0.001, 0.25, []),
    "model_02": (1e-6, 0.001, 0, []),
    "model_03": (1e-5, 0.01, 0, []),
    "model_04": (5e-6, 0.001, 0.25, [512, 512, 512]),
    "model_05": (1e-6, 0.001, 0, [512, 1024, 1024]),
    "model_06": (1e-6, 0.001, 0.25, [512, 1024, 1024]),
    "model_07": (1e-6, 0.001, 0.25, [1024, 2048, 2048]),
    "model_08": (1e-6, 0.001, 0, [1024, 1024, 1024]),
    "model_09": (1e-6, 0.001, 0.25, [1024, 1024, 1024]),
    "model_10": (1e-6, 0.001, 0, [512, 1024, 1024]),
    "model_11": (1e-6, 0.001, 0.25, [512, 1024, 1024]),
    "model_12": (1e-6, 0.001, 0, [1024, 1024, 1024]),
    "model_13": (1e-6, 0.001, 0.25, [1024, 1024, 1024]),
    "model_14": (1e-6, 0.001, 0.25, [1024, 2048, 2048]),
}


@pytest.mark.parametrize("number", range(1, 15))
def test_models_of_flowers_are_those_of_the_reports_table(number: int) -> None:
    model = STUDY[FLOWERS].models[f"model_{number:02}"].trained
    rate, decay, dropout, dense = HYPERPARAMETERS[f"model_{number:02}"]
    assert model["head"] == {"pooling": "avg", "dense": dense, "dropout": dropout}
    assert model["train"] == {
        "epochs": 100,
        "batch_size": 32,
        "optimizer": {"name": "adam"},
        "learning_rate": rate,
        "schedule": {"name": "inverse_time", "decay": decay},
        "early_stopping": {"patience": 10, "metric": "val_accuracy"},
    }
    frozen = {"before": "conv5_block3"} if number < 4 else {"before": "conv5_block2"} if number < 10 else "all"
    replaced = {"stage": "conv5", "blocks": 3, "filters": 512, "stride": 1, "momentum": 0.8}
    assert (model["architecture"], model["image_size"], model["weights"]) == ("resnet50", 224, "imagenet")
    assert model["freeze"] == frozen
    assert model.get("replace_from") == (replaced if number >= 10 else None)


@pytest.mark.parametrize(
    ("model", "total"),
    [("model_01", 23_597_957), ("model_07", None), ("model_12", 27_790_213), ("model_14", 31_991_685)],
)
def test_models_of_flowers_have_the_parameters_of_their_layers(keras: Any, model: str, total: int | None) -> None:
    """A replaced stage has as many as the one in its place: ResNet50's 23,587,712 all the same."""
    widths = [2048, *HYPERPARAMETERS[model][3], 5]
    by_hand = 23_587_712 + sum(before * after + after for before, after in pairwise(widths))
    assert parameters(STUDY[FLOWERS], model, 5)[0] == by_hand
    assert total in (None, by_hand)
    keras.backend.clear_session()


def test_tuning_covers_what_the_report_found() -> None:
    study = STUDY[TRANSFER]
    fixed, tune = study.models["dcnn"].trained, study.models["dcnn_tuned"].tune
    assert fixed["options"]["weight_decay"] == 4.7334492434534885e-09
    assert fixed["train"]["learning_rate"] == 0.0004190581840410445
    assert fixed["train"]["optimizer"] == {"name": "adam"}
    assert study.models["dcnn_tuned"].trained == fixed
    assert tune
    assert (tune.trials, tune.metric) == (4, "val_accuracy")
    assert tune.start_from == [
        {"options.weight_decay": 4.733e-9, "train.optimizer.name": "adam", "train.learning_rate": 4.19e-4}
    ]
    space = {path: dimension.dump() for path, dimension in tune.space.items()}
    assert space["options.weight_decay"] == {"low": 1e-10, "high": 1e-3, "log": True}
    assert space["train.learning_rate"]["low"] < 0.0004190581840410445 < space["train.learning_rate"]["high"]
    assert "adam" in space["train.optimizer.name"]["choices"]


# Epochs, images of a batch, steps of an epoch, as the reports say; learning rates where they do.
TRAINED = {
    (TRANSFER, "resnet50"): (20, 32, None),
    (TRANSFER, "resnet50_imagenet"): (20, 32, None),
    (TRANSFER, "dcnn"): (20, 32, None),
    (SIMCNN, "simcnn"): (25, 32, 550),
    (SIMCNN, "resnet50_01"): (25, 32, 550),
    (SIMCNN, "resnet50_02"): (30, 64, None),
    **{
        (SMALL, model): (30, 256, None)
        for model in ("toy_resnet", "calik_demirci", "all_cnn", "all_cnn_100", "toy_resnet_100", "machinecurve_cnn")
    },
}


@pytest.mark.parametrize(("study", "model"), TRAINED)
def test_models_are_trained_as_the_report_says(study: str, model: str) -> None:
    train = STUDY[study].models[model].train
    assert (train.epochs, train.batch_size, train.steps_per_epoch) == TRAINED[study, model]
    rates = {"resnet50_01": 0.01, "resnet50_02": 0.005}
    assert model not in rates or (train.optimizer.name, train.learning_rate) == ("sgd", rates[model])


def test_second_trainings_start_where_the_first_ended() -> None:
    study = STUDY[TINY]
    starts = {run: study.starts_from(run) for run in study.runs}
    pairs = {(run.model, start.model, run.dataset == start.dataset) for run, start in starts.items() if start}
    assert pairs == {
        ("resnet50_finetuned", "resnet50", True),
        ("resnet50_imagenet_finetuned", "resnet50_imagenet", True),
    }


def test_ensembles_have_the_members_of_the_reports() -> None:
    assert [run.model for run in STUDY[TRANSFER].members("resnet50_and_dcnn", "cifar100")] == [
        "resnet50_imagenet",
        "dcnn",
    ]
    tiny = STUDY[TINY]
    assert [run.model for run in tiny.members("resnet50_pair", "tiny_imagenet")] == ["resnet50", "resnet50_finetuned"]
    assert [run.seeds for run in tiny.members("five_mlps", "mnist")] == [(seed,) for seed in range(5)]
    assert "dcnn_glorot" in {run.model for run in tiny.members("pair_and_dcnn", "fifteen_places")}


def test_dropout_of_the_network_without_dense_layers_is_each_that_the_report_mentions() -> None:
    rates = {
        name: (model.trained["options"]["input_dropout"], model.trained["options"]["dropout"])
        for name, model in STUDY[SMALL].models.items()
        if model.architecture == "all_cnn"
    }
    assert rates == {
        "all_cnn": (0.0, 0.0),
        "all_cnn_listed": (0.0, 0.5),
        "all_cnn_dropout": (0.2, 0.5),
        "all_cnn_100": (0.2, 0.0),
    }
