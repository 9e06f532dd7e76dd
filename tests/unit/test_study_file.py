import math
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graft.config import Run
from graft.errors import UserError
from graft.presets import ALLOWED
from graft.registry import parts
from graft.study_file import choose_study, read_study

DEFAULT = Path(__file__).resolve().parents[2] / "config.yaml"
GONE = object()
NAMES = "1 to 64 letters, digits, '_' or '-', the first a letter or digit"
JARGON = (
    "Input should",
    "function-after",
    "function-before",
    "tagged-union",
    "literal[",
    "Traceback",
    "pydantic",
    "after validation",
)


def changed(study: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    place = study
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return study


ALLOWED_PRESETS = f"allowed: {ALLOWED}"
ARCHITECTURES = ", ".join(parts("graft.models"))
SMALL, PROBE, TUNED = (("models", name) for name in ("small", "probe", "tuned"))
SPACE = (*TUNED, "tune", "space")
MODEL_KEYS = (
    "datasets, architecture, image_size, weights, train, test_time, tune, gpu, seeds, folds, distill, why, options"
)
TRAIN_KEYS = (
    "epochs, batch_size, optimizer, learning_rate, schedule, warmup_epochs, steps_per_epoch, whiten, head_first, layer_decay, "
    "early_stopping, augment, views, label_smoothing, class_weights, l2, accumulate, ema, precision, jit, steps_per_execution, "
    "on_nan, retries, checkpoint_minutes"
)

PAIR = ("ensembles", "pair")
KINDS = (
    "needs one of {trials: <model>, best: <number>}, {snapshots: <model>, last: <number>}, {predictions: <file>, name: "
    "<name>} (best, last and name may be left out) and {run: <model>, dataset: <data set>}"
)

WRONG = {
    "unknown key": (("studdy",), 1, "studdy: is not a key here; did you mean 'study'?"),
    "unknown key of a section": (
        (*SMALL, "train", "epoch"),
        1,
        "models.small.train.epoch: is not a key here; did you mean 'epochs'?",
    ),
    "unknown key of a section that may be left out": (
        (*TUNED, "tune", "trails"),
        1,
        "models.tuned.tune.trails: is not a key here; did you mean 'trials'?",
    ),
    "missing key": ((*SMALL, "train", "epochs"), GONE, "models.small.train.epochs: is required"),
    "misspelt architecture": (
        (*SMALL, "architecture"),
        "simcn",
        "models.small.architecture: 'simcn' is not an architecture; did you mean 'simcnn'?",
    ),
    "architecture of the wrong type": (
        (*SMALL, "architecture"),
        ["vgg"],
        f"models.small.architecture: ['vgg'] is not an architecture; allowed: {ARCHITECTURES}",
    ),
    "preset without a name": (
        (*SMALL, "architecture"),
        "hub:",
        f"models.small.architecture: 'hub:' is not a preset; {ALLOWED_PRESETS}",
    ),
    "preset on Kaggle without a version": (
        (*SMALL, "architecture"),
        "hub:kaggle://keras/resnetv1/keras/resnet_18_imagenet",
        f"models.small.architecture: 'hub:kaggle://keras/resnetv1/keras/resnet_18_imagenet' is not a preset; {ALLOWED_PRESETS}",
    ),
    "preset from elsewhere": (
        (*SMALL, "architecture"),
        "hub:https://example.org/preset",
        f"models.small.architecture: 'hub:https://example.org/preset' is not a preset; {ALLOWED_PRESETS}",
    ),
    "folder of a preset that is not there": (
        (*SMALL, "architecture"),
        "hub:./absent",
        "models.small.architecture: absent/config.json does not exist; a preset is a folder with config.json, "
        f"image_converter.json, model.weights.h5; paths start in {Path.cwd()}",
    ),
    "weights that no preset has": (
        (*SMALL,),
        {"architecture": "hub:x", "image_size": 32, "train": {"epochs": 1}, "weights": "imagenet"},
        "models.small.weights: 'imagenet' is not allowed; allowed: none, preset, or {file: <path>}, or {run: <model>}",
    ),
    "pattern that fits nothing": (
        (*PAIR, "members"),
        ["sm*", "x*"],
        "ensembles.pair.members: 'x*' fits no model of this study; models: small, probe, tuned",
    ),
    "trials of a model that is not tuned": (
        (*PAIR, "members"),
        [{"trials": "small"}],
        "ensembles.pair: trials: small is not tuned, so it has none",
    ),
    "snapshots of a model that makes none": (
        (*PAIR, "members"),
        [{"snapshots": "small"}],
        "ensembles.pair: snapshots: small makes none; its train.schedule has to be cosine_cycles",
    ),
    "member of two kinds": (
        (*PAIR, "members"),
        [{"trials": "tuned", "last": 2}],
        f"ensembles.pair.members[0]: {KINDS}",
    ),
    "run without its data set": ((*PAIR, "members"), [{"run": "small"}], f"ensembles.pair.members[0]: {KINDS}"),
    "trials of a model that does not exist": (
        (*PAIR, "members"),
        [{"trials": "tund"}],
        "ensembles.pair.members[0].trials: 'tund' is not a model of this study; did you mean 'tuned'?",
    ),
    "predictions in a file of another kind": (
        (*PAIR, "members"),
        [{"predictions": "a.txt"}],
        "ensembles.pair.members[0].predictions: 'a.txt' is not the path of an .npz or .csv file",
    ),
    "predictions that are not there": (
        (*PAIR, "members"),
        [{"predictions": "a.csv"}],
        f"ensembles.pair.members: a.csv does not exist; paths start in {Path.cwd()}",
    ),
    "predictions without a name": (
        (*PAIR, "members"),
        [{"predictions": "ä.csv"}],
        "ensembles.pair.members[0]: 'ä.csv' makes no name; give it one of letters, digits, '_' and '-' under name",
    ),
    "run of another data set to vote": (
        PAIR,
        {"method": "soft_vote", "members": ["small", {"run": "small", "dataset": "more"}], "datasets": ["digits"]},
        "ensembles.pair: small on more seed 0: of another data set, which method: concat alone can use",
    ),
    "predictions for a method that needs networks": (
        PAIR,
        {"method": "concat", "members": ["small", {"trials": "tuned"}], "datasets": ["digits"]},
        "ensembles.pair: tuned trial: concat needs networks that saw the same images, so runs, not trials",
    ),
    "best of what predicts nothing": (
        PAIR,
        {"method": "concat", "best": 3},
        "ensembles.pair.best: goes by predictions, of which concat reads none; name the members",
    ),
    "mean of weights of two networks": (
        PAIR,
        {"method": "weight_average", "members": ["small", "probe"]},
        "ensembles.pair: small and probe differ in architecture; weight_average needs one network and equal first weights",
    ),
    "mean of weights that began differently": (
        PAIR,
        {"method": "weight_average", "members": ["small"]},
        "ensembles.pair: weight_average needs equal first weights: runs of one seed, or published weights",
    ),
    "folds and others": (
        (*SMALL, "folds"),
        3,
        "ensembles.pair: small folds predicts the training images too, and probe seed 0 does not; give all members folds, "
        "or none",
    ),
    "folds and seeds": (
        (*SMALL,),
        {"architecture": "simcnn", "image_size": 32, "train": {"epochs": 1}, "seeds": [1], "folds": 3},
        "models.small.folds: and seeds do not go together: a model with folds has one run for each, with its number as seed",
    ),
    "teacher that does not exist": (
        (*SMALL, "distill"),
        {"ensemble": "par"},
        "models.small.distill.ensemble: 'par' is no ensemble of this study; did you mean 'pair'?",
    ),
    "network that would learn from itself": (
        (*SMALL, "distill"),
        {"ensemble": "pair"},
        "models.small.distill.ensemble: small needs pair needs small; no network can learn from itself",
    ),
    "model without architecture": (
        (*SMALL, "architecture"),
        GONE,
        f"models.small.architecture: is required; allowed: {ARCHITECTURES}",
    ),
    "data set that does not exist": (
        (*SMALL, "datasets"),
        ["digit"],
        "models.small.datasets: 'digit' is not a data set of this study; did you mean 'digits'?",
    ),
    "no data set": ((*SMALL, "datasets"), [], "models.small.datasets: is empty; it needs at least one data set"),
    "member that does not exist": (
        ("ensembles", "pair", "members"),
        ["small", "prob"],
        "ensembles.pair.members: 'prob' is not a model of this study; did you mean 'probe'?",
    ),
    "member named twice": (
        ("ensembles", "pair", "members"),
        ["small", "small"],
        "ensembles.pair.members: names 'small' more than once",
    ),
    "members that are no list": (
        ("ensembles", "pair", "members"),
        "small",
        "ensembles.pair.members: 'small' is not allowed; allowed: all, or a list of models",
    ),
    "member on another data set": (
        ("ensembles", "pair", "members"),
        ["small", "tuned"],
        "ensembles.pair: tuned does not train on 'more'; name under datasets what this ensemble is for",
    ),
    "ensemble named as a model": (
        ("ensembles", "small"),
        {"method": "soft_vote"},
        "ensembles.small: a model has this name too; results need names of their own",
    ),
    "unknown ensemble method": (
        ("ensembles", "pair", "method"),
        "soft_vot",
        "ensembles.pair.method: 'soft_vot' is not a method; did you mean 'soft_vote'?",
    ),
    "unknown option of an ensemble method": (
        ("ensembles", "pair", "method"),
        {"name": "soft_vote", "power": 2},
        "ensembles.pair.method.power: is not a key here; allowed: mean, name",
    ),
    "negative learning rate": (
        (*SMALL, "train", "learning_rate"),
        -1e-3,
        "models.small.train.learning_rate: -0.001 should be greater than 0",
    ),
    "number in quotes": (
        (*SMALL, "train", "epochs"),
        "3",
        "models.small.train.epochs: '3' is not a whole number; write 3 without quotes",
    ),
    "fraction for a whole number": (
        (*SMALL, "train", "epochs"),
        3.5,
        "models.small.train.epochs: 3.5 is not a whole number",
    ),
    "truth for a whole number": (
        (*SMALL, "train", "epochs"),
        True,
        "models.small.train.epochs: true is not a whole number",
    ),
    "number for a truth": (("deterministic",), 1, "deterministic: 1 is not true or false"),
    "text for a truth": (("deterministic",), "yes", "deterministic: 'yes' is not true or false"),
    "no epochs": (
        (*SMALL, "train", "epochs"),
        0,
        "models.small.train.epochs: 0 should be greater than or equal to 1",
    ),
    "not a number": (
        (*SMALL, "train", "learning_rate"),
        math.nan,
        "models.small.train.learning_rate: nan is not a finite number",
    ),
    "infinite share": (
        ("datasets", "digits", "split", "test"),
        math.inf,
        "datasets.digits.split.test: inf is not a finite number",
    ),
    "infinite end": (
        (*SPACE, "train.learning_rate", "high"),
        math.inf,
        "models.tuned.tune.space.train.learning_rate.high: inf is not a finite number",
    ),
    "infinite epochs": (
        (*SMALL, "train", "epochs"),
        -math.inf,
        "models.small.train.epochs: -inf is not a whole number",
    ),
    "split of more than everything": (
        ("datasets", "digits", "split"),
        {"validation": 0.6, "test": 0.6},
        "datasets.digits.split: validation and test sum to 1.2; "
        "they must leave a share for training, so sum to less than 1",
    ),
    "unknown source": (
        ("datasets", "digits", "source"),
        "digit",
        "datasets.digits.source: 'digit' is not a source; did you mean 'digits'?",
    ),
    "unknown optimizer": (
        (*SMALL, "train", "optimizer"),
        "adm",
        "models.small.train.optimizer: 'adm' is not an optimizer; did you mean 'adam'?",
    ),
    "warm-up to a constant rate": (
        (*SMALL, "train", "warmup_epochs"),
        1,
        "models.small.train: warmup_epochs needs schedule: cosine",
    ),
    "warm-up without an end": (
        (*SMALL, "train"),
        {"epochs": 3, "schedule": "cosine", "warmup_epochs": 3},
        "models.small.train: warmup_epochs must be fewer than epochs",
    ),
    "option of another optimizer": (
        (*SMALL, "train", "optimizer"),
        {"name": "adam", "momentum": 0.9},
        "models.small.train.optimizer.momentum: is not a key here; allowed: name, "
        "weight_decay, clipnorm, global_clipnorm, clipvalue, beta_1, beta_2, epsilon",
    ),
    "optimizer without a name": (
        (*SMALL, "train", "optimizer"),
        {"momentum": 0.9},
        "models.small.train.optimizer.name: is required; allowed: adadelta, adagrad, adam, adamw, lamb, lion, muon, nadam, rmsprop, sgd",
    ),
    "unknown schedule": (
        (*SMALL, "train", "schedule"),
        "cosin",
        "models.small.train.schedule: 'cosin' is not a schedule; did you mean 'cosine'?",
    ),
    "schedule without what it needs": (
        (*SMALL, "train", "schedule"),
        "inverse_time",
        "models.small.train.schedule.decay: is required",
    ),
    "head first on random weights": (
        (*SMALL, "train", "head_first"),
        {"epochs": 1, "learning_rate": 1e-3},
        "models.small.train.head_first: needs weights: behind random ones no head learns",
    ),
    "head first and nothing after": (
        (*PROBE, "train", "head_first"),
        {"epochs": 1, "learning_rate": 1e-3},
        "models.probe: train.head_first needs a part that is trained after the head; freeze: all leaves none",
    ),
    "decay that is none": (
        (*SMALL, "train", "layer_decay"),
        1.5,
        "models.small.train.layer_decay: 1.5 should be less than 1",
    ),
    "views of images that are not changed": (
        (*PROBE, "train", "views"),
        2,
        "models.probe.train: views needs augment: it says how views of an image differ",
    ),
    "first layer set twice": (
        (*PROBE, "train", "whiten"),
        True,
        "models.probe.train.whiten: sets the first layer, which has weights already; leave out either",
    ),
    "views of several images": (
        (*PROBE, "train"),
        {"epochs": 3, "views": 2, "augment": {"mixup": 0.2}},
        "models.probe.train: views are of one image each; mixup and cutmix mix several: leave out either",
    ),
    "views of a network without a frozen part": (
        (*SMALL, "train"),
        {"epochs": 3, "views": 2, "augment": {"flip": True}},
        "models.small.train.views: needs a frozen part to store: freeze: all or {before: <stage>}, and no test_time",
    ),
    "weights that a small network does not have": (
        (*SMALL, "weights"),
        "imagenet",
        "models.small.weights: 'imagenet' is not allowed; allowed: none, or {file: <path>}, or {run: <model>}",
    ),
    "weights from nowhere": (
        (*SMALL, "weights"),
        {"dataset": "digits"},
        "models.small.weights: needs either file: <path>, or run: <model> (and dataset:, if another)",
    ),
    "weights from a file and a run": (
        (*SMALL, "weights"),
        {"file": "x.keras", "run": "probe"},
        "models.small.weights: needs either file: <path>, or run: <model> (and dataset:, if another)",
    ),
    "weights of a run that does not exist": (
        (*SMALL, "weights"),
        {"run": "prob"},
        "models.small.weights.run: 'prob' is not a model of this study; did you mean 'probe'?",
    ),
    "weights of another network": (
        (*SMALL, "weights"),
        {"run": "probe"},
        "models.small.weights.run: 'probe' is of architecture efficientnet_lite0, and this model of simcnn",
    ),
    "weights of oneself": (
        (*SMALL, "weights"),
        {"run": "small"},
        "models.small.weights.run: small starts from small; no run can come before itself",
    ),
    "file of weights that is not there": (
        (*SMALL, "weights"),
        {"file": "absent.keras"},
        f"models.small.weights.file: absent.keras does not exist; paths start in {Path.cwd()}",
    ),
    "a model's seed named twice": (
        (*SMALL, "seeds"),
        [3, 3],
        "models.small.seeds: names 3 more than once; each run has a seed of its own",
    ),
    "published figure of nothing": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "smal", "images": 9, "test": {"top1": 0.5}}]},
        "reference.figures[0].of: 'smal' is no model or ensemble of this study; did you mean 'small'?",
    ),
    "published figure of one of several data sets": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "small", "images": 9, "test": {"top1": 0.5}}]},
        "reference.figures[0].dataset: is required, for small is for digits, more",
    ),
    "published figure on another data set": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "tuned", "dataset": "more", "train": {"top1": 0.5}}]},
        "reference.figures[0].dataset: tuned is for digits, not 'more'",
    ),
    "published figure of unknown weight": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "tuned", "test": {"top1": 0.5}}]},
        "reference.figures[0]: needs images, the number of test images behind its test figures",
    ),
    "published figure in percent": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "tuned", "train": {"top1": 50.0}}]},
        "reference.figures[0].train.top1: 50.0 should be less than or equal to 1",
    ),
    "published figure without figures": (
        ("reference",),
        {"title": "A report", "figures": [{"of": "tuned"}]},
        "reference.figures[0]: needs figures, under test, validation or train",
    ),
    "limit to a model that does not exist": (
        ("limits",),
        {"models": ["tund"]},
        "limits.models: 'tund' is not a model of this study; did you mean 'tuned'?",
    ),
    "freeze without weights": (
        (*PROBE, "weights"),
        "none",
        "models.probe: freeze needs weights: a frozen part with random weights learns nothing",
    ),
    "unknown word for freeze": (
        (*PROBE, "freeze"),
        "stage6",
        "models.probe.freeze: 'stage6' is not allowed; allowed: none, all, or {before: <stage>} or [<stage>, ...]",
    ),
    "unknown stage": (
        (*PROBE, "freeze"),
        {"before": "stage9"},
        "models.probe.freeze.before: 'stage9' is not allowed; did you mean 'stage7'?",
    ),
    "unknown key of freeze": (
        (*PROBE, "freeze"),
        {"before": "stage6", "after": "stage7"},
        "models.probe.freeze.after: is not a key here; allowed: before",
    ),
    "freeze of the wrong type": (
        (*PROBE, "freeze"),
        ["all"],
        "models.probe.freeze[0]: 'all' is not allowed; allowed: stage1, stage2, stage3, stage4, stage5, stage6, stage7",
    ),
    "head on a network that has none": (
        (*SMALL, "head"),
        {"pooling": "avg"},
        f"models.small.head: is not a key here; allowed: {MODEL_KEYS}",
    ),
    "layer of no units": (
        (*PROBE, "head", "dense"),
        [64, 0],
        "models.probe.head.dense[1]: 0 should be greater than or equal to 1",
    ),
    "option that an architecture lacks": (
        (*TUNED, "options"),
        {"weight_dcay": 0.1},
        "models.tuned.options.weight_dcay: is not a key here; did you mean 'weight_decay'?",
    ),
    "seed named twice": (("seeds",), [1, 2, 1], "seeds: names 1 more than once; each run has a seed of its own"),
    "no seed": (("seeds",), [], "seeds: is empty; it needs at least 1"),
    "no space": ((*SPACE,), {}, "models.tuned.tune.space: is empty; it needs at least 1"),
    "list where a mapping is wanted": (("ensembles",), [1], "ensembles: [1] is not a mapping of keys to values"),
    "null section": (("ensembles",), None, "ensembles: null is not a mapping of keys to values"),
    "null model": ((*SMALL,), None, "models.small: null is not a mapping with the key 'architecture'"),
    "null part of a model": ((*SMALL, "train"), None, "models.small.train: null is not a mapping of keys to values"),
    "mapping where a list is wanted": (("seeds",), {"a": 1}, "seeds: {'a': 1} is not a list"),
    "number where text is wanted": (("title",), 3, "title: 3 is not text; write it in quotes"),
    "number where a name is wanted": (("study",), 3, "study: 3 is not text; write it in quotes"),
    "key that is no text": (
        ("ensembles", 3),
        {"method": "soft_vote"},
        "ensembles[3]: 3 is not text; write it in quotes",
    ),
}


@pytest.mark.parametrize(("path", "value", "text"), WRONG.values(), ids=WRONG)
def test_one_mistake_gives_one_line(study: dict[str, Any], complaints: Any, path: Any, value: Any, text: str) -> None:
    assert complaints(changed(study, path, value)) == [": 1 problem in this study:", text]


WRONG_SPACE = {
    "path that leads nowhere": (
        {"train.lr": {"low": 0.1, "high": 0.2}},
        f"train.lr: is not a key here; allowed: {TRAIN_KEYS}",
    ),
    "option that leads nowhere": (
        {"options.weight_dcay": {"low": 0.1, "high": 0.2}},
        "options.weight_dcay: is not a key here; did you mean 'weight_decay'?",
    ),
    "option of another optimizer": (
        {"train.optimizer.momentum": {"low": 0.1, "high": 0.9}},
        "train.optimizer.momentum: is not a key here; allowed: name, "
        "weight_decay, clipnorm, global_clipnorm, clipvalue, beta_1, beta_2, epsilon",
    ),
    "end out of range": (
        {"train.learning_rate": {"low": -0.1, "high": 0.2}},
        "train.learning_rate: -0.1 should be greater than 0",
    ),
    "choice out of range": (
        {"train.optimizer.name": {"choices": ["adam", "adm"]}},
        "train.optimizer.name: 'adm' is not an optimizer; did you mean 'adam'?",
    ),
    "choice that stands for a mapping": (
        {"train.optimizer": {"choices": ["adam"]}},
        "train.optimizer: 'adam' stands for several fields; name the one to tune, such as train.optimizer.name",
    ),
    "size of images": (
        {"image_size": {"choices": [16, 32]}},
        "image_size: changes what a trial reads; tune fields of train, head or options",
    ),
    "architecture": (
        {"architecture": {"choices": ["dcnn"]}},
        "architecture: changes what a trial reads; tune fields of train, head or options",
    ),
    "tuning itself": (
        {"tune.trials": {"choices": [3]}},
        "tune.trials: changes what a trial reads; tune fields of train, head or options",
    ),
    "whole numbers for a field of any number": (
        {"options.weight_decay": {"low": 0, "high": 1}},
        "options.weight_decay: low: 0 and high: 1 search whole numbers only; "
        "write 0.0 and 1.0, for the field takes any number",
    ),
    "ends the wrong way round": ({"train.epochs": {"low": 5, "high": 1}}, "train.epochs: low must be less than high"),
    "logarithm of zero": (
        {"options.weight_decay": {"low": 0.0, "high": 1.0, "log": True}},
        "options.weight_decay: log: true needs low above 0",
    ),
    "list": ({"train.epochs": [1, 2]}, "train.epochs: [1, 2] is not a mapping of keys to values"),
    "text": ({"train.epochs": "1-2"}, "train.epochs: '1-2' is not a mapping of keys to values"),
    "one end": ({"train.epochs": {"low": 1}}, "train.epochs.high: is required"),
    "end beside choices": (
        {"train.epochs": {"choices": [1], "low": 1}},
        "train.epochs.low: is not a key here; allowed: when, otherwise, choices",
    ),
    "no choice": ({"train.epochs": {"choices": []}}, "train.epochs.choices: is empty; it needs at least 1"),
    "choice that is not a number": (
        {"train.learning_rate": {"choices": [math.nan]}},
        "train.learning_rate.choices[0]: nan is not text, a finite number, true or false",
    ),
}


@pytest.mark.parametrize(("space", "text"), WRONG_SPACE.values(), ids=WRONG_SPACE)
def test_wrong_search_space_gives_one_line(study: dict[str, Any], complaints: Any, space: Any, text: str) -> None:
    assert complaints(changed(study, SPACE, space)) == [
        ": 1 problem in this study:",
        f"models.tuned.tune.space.{text}",
    ]


def test_a_misspelt_architecture_hides_no_other_problem_of_its_model(study: dict[str, Any], complaints: Any) -> None:
    spelled = changed(study, (*SMALL, "architecture"), "simcn")
    assert complaints(changed(spelled, (*SMALL, "train", "epochs"), "3")) == [
        ": 2 problems in this study:",
        "models.small.architecture: 'simcn' is not an architecture; did you mean 'simcnn'?",
        "models.small.train.epochs: '3' is not a whole number; write 3 without quotes",
    ]


NOT_SHARED = "does not work with gpu: 2 on backend: tensorflow; leave it out, or take backend: jax"
WRONG_SHARING = {
    "no GPU": ({"gpu": 0}, {}, "gpu: 0 should be greater than or equal to 1"),
    "batches that are not shared out evenly": (
        {"gpu": 3},
        {},
        "train.batch_size: 32 is no multiple of gpu: 3, each of which takes an equal part",
    ),
    "accumulated gradients": ({"gpu": 2}, {"accumulate": 2}, f"train.accumulate: {NOT_SHARED}"),
    "retries": ({"gpu": 2}, {"retries": 1}, f"train.retries: {NOT_SHARED}"),
    "XLA": ({"gpu": 2}, {"jit": True}, f"train.jit: {NOT_SHARED}"),
    "several steps at once": (
        {"gpu": 2},
        {"steps_per_execution": 2},
        f"train.steps_per_execution: {NOT_SHARED}",
    ),
    "clipped gradients": (
        {"gpu": 2},
        {"optimizer": {"name": "sgd", "clipnorm": 1.0}},
        f"train.optimizer.clipnorm: {NOT_SHARED}",
    ),
    "search among steps at once": (
        {"gpu": 2, "tune": {"trials": 2, "space": {"train.steps_per_execution": {"choices": [1, 2]}}}},
        {},
        f"tune.space.train.steps_per_execution: {NOT_SHARED}",
    ),
    "search among all batch sizes": (
        {"gpu": 2, "tune": {"trials": 2, "space": {"train.batch_size": {"low": 16, "high": 64}}}},
        {},
        "tune.space.train.batch_size: low: 16 and high: 64 search every whole number; write choices: multiples of gpu: 2",
    ),
    "search among odd batch sizes": (
        {"gpu": 2, "tune": {"trials": 2, "space": {"train.batch_size": {"choices": [16, 33]}}}},
        {},
        "tune.space.train.batch_size: 33 is no multiple of gpu: 2, each of which takes an equal part",
    ),
    "search for GPUs": (
        {"gpu": 2, "tune": {"trials": 2, "space": {"gpu": {"choices": [1, 2]}}}},
        {},
        "tune.space.gpu: changes what a trial reads; tune fields of train, head or options",
    ),
}


@pytest.mark.parametrize(("model", "train", "text"), WRONG_SHARING.values(), ids=WRONG_SHARING)
def test_what_several_gpus_cannot_share_gives_one_line(
    study: dict[str, Any], complaints: Any, model: Any, train: Any, text: str
) -> None:
    study["models"]["small"] |= {**model, "train": {"epochs": 3, **train}}
    assert complaints(study) == [": 1 problem in this study:", f"models.small.{text}"]


def test_torch_trains_on_one_gpu(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"]["gpu"] = 2
    text = "models.small.gpu: 2 with backend: torch is not offered; allowed: 1, or backend: tensorflow or jax"
    assert complaints(study | {"backend": "torch"}) == [": 1 problem in this study:", text]


def test_jax_shares_all_that_it_does_on_one_gpu(study: dict[str, Any], read: Any) -> None:
    train = {"accumulate": 2, "retries": 1, "jit": True, "steps_per_execution": 2}
    study["models"]["small"]["train"] |= train | {"optimizer": {"name": "sgd", "clipnorm": 1.0}}
    assert read(changed(study, (*SMALL, "gpu"), 2) | {"backend": "jax"}).models["small"].trained["gpu"] == 2


@pytest.mark.parametrize("gpu", [None, 1])
def test_one_gpu_changes_no_job(study: dict[str, Any], read: Any, gpu: int | None) -> None:
    before = read(study).models["small"].trained
    assert read(changed(study, (*SMALL, "gpu"), gpu)).models["small"].trained == before


def test_activations_are_those_of_a_model_with_one_gpu(study: dict[str, Any], read: Any) -> None:
    before = read(study).features_name("probe")
    assert read(changed(study, (*PROBE, "gpu"), 2)).features_name("probe") == before


def test_dimensions_that_do_not_fit_together_are_named(study: dict[str, Any], complaints: Any) -> None:
    space = {
        "train.optimizer.name": {"choices": ["sgd", "adam"]},
        "train.optimizer.momentum": {"low": 0.0, "high": 0.9},
    }
    spelled = changed(study, (*TUNED, "train", "optimizer"), {"name": "sgd"})
    assert complaints(changed(spelled, SPACE, space)) == [
        ": 1 problem in this study:",
        "models.tuned.tune.space: train.optimizer.name: adam and train.optimizer.momentum: 0.0 do not go together: "
        "is not a key here; allowed: name, "
        "weight_decay, clipnorm, global_clipnorm, clipvalue, beta_1, beta_2, epsilon",
    ]


def test_epochs_are_tuned_or_fixed_for_every_trial_not_both(study: dict[str, Any], complaints: Any) -> None:
    tune = {"trials": 2, "epochs": 1, "space": {"train.epochs": {"low": 1, "high": 3}}}
    assert complaints(changed(study, (*TUNED, "tune"), tune)) == [
        ": 1 problem in this study:",
        "models.tuned.tune.space.train.epochs: is what tune.epochs sets for every trial; leave out one of them",
    ]


def test_images_too_small_for_the_architecture_are_refused(study: dict[str, Any], complaints: Any) -> None:
    assert complaints(changed(study, (*SMALL, "image_size"), 17)) == [
        ": 1 problem in this study:",
        "models.small.image_size: 17 should be greater than or equal to 18",
    ]


def test_a_space_over_a_frozen_backbone_leaves_the_frozen_part_alone(study: dict[str, Any], complaints: Any) -> None:
    space = {"head.pooling": {"choices": ["avg", "max"]}, "head.dropout": {"low": 0.1, "high": 0.5}}
    assert complaints(changed(study, (*PROBE, "tune"), {"trials": 2, "space": space})) == [
        ": 1 problem in this study:",
        "models.probe.tune.space.head.pooling: changes what a trial reads; tune fields of train, head or options",
    ]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "a b", "-x", "x\n", "é", "a" * 65])
@pytest.mark.parametrize("section", ["datasets", "models", "ensembles"])
def test_a_name_that_is_no_safe_path_component_is_refused(
    study: dict[str, Any], complaints: Any, section: str, name: str
) -> None:
    study[section][name] = next(iter(study[section].values()))
    _, line = complaints(study)
    assert line.startswith(section)
    assert line.endswith(f" is not a name: {NAMES}")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "a" * 65])
def test_a_study_name_is_a_safe_path_component_too(study: dict[str, Any], complaints: Any, name: str) -> None:
    study["study"] = name
    assert complaints(study)[1].endswith(f" is not a name: {NAMES}")


def test_several_problems_are_all_listed(study: dict[str, Any], complaints: Any) -> None:
    study["models"]["small"]["train"]["epochs"] = "3"
    study["models"]["probe"]["weights"] = "imagnet"
    study["ensembles"]["pair"]["members"] = ["smal"]
    assert complaints(study) == [
        ": 3 problems in this study:",
        "models.small.train.epochs: '3' is not a whole number; write 3 without quotes",
        "models.probe.weights: 'imagnet' is not allowed; allowed: none, imagenet, or {file: <path>}, or {run: <model>}",
        "ensembles.pair.members: 'smal' is not a model of this study; did you mean 'small'?",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    {
        "empty": ("", ": is empty; a study starts with the keys study, datasets and models (see config.yaml)"),
        "comment": ("# nothing", ": is empty; a study starts with the keys study, datasets and models (see config.yaml)"),
        "list": ("- a\n- b", ": holds list values, not keys; a study starts with the keys study, datasets and models (see config.yaml)"),
        "open bracket": ("study: [a\nb: {", ", line 2, column 2: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        "tab": ("study:\n\t- a", r", line 2, column 1: not valid YAML: while scanning for the next token, found character '\t' that cannot start any token"),
        "duplicate key": ("study: a\nstudy: b", ', line 2, column 1: found duplicate key "study"; a key stands once'),
        "unknown tag": ("study: !!python/object:os.system {}", ", line 1, column 8: not valid YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
    }.values(),
)  # fmt: skip
def test_a_file_that_holds_no_study_says_what_it_holds(complaints: Any, text: str, complaint: str) -> None:
    assert complaints(text) == [complaint]


def test_deep_nesting_is_refused_in_words(complaints: Any) -> None:
    assert complaints("study: " + "[" * 1000) == [": not valid YAML: it is nested too deeply"]


def test_two_documents_are_refused(complaints: Any) -> None:
    (line,) = complaints("study: a\n---\nstudy: b\n")
    assert (
        line
        == ", line 2, column 1: not valid YAML: expected a single document in the stream, but found another document"
    )


@pytest.mark.parametrize("content", [b"study: \xff\xfe", b"study: \x00", "study: café".encode("latin-1")])
def test_a_file_that_is_not_utf8_is_refused_in_words(complaints: Any, content: bytes) -> None:
    (line,) = complaints(content)
    assert line.startswith(": not valid YAML: ")


@pytest.mark.parametrize(("name", "reason"), [("absent.yaml", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        read_study(tmp_path / name)
    assert str(error.value) == f"{tmp_path / name}: the study cannot be read ({reason})"


def test_the_default_study_is_valid() -> None:
    assert read_study(DEFAULT).study == "digits"


def test_yaml_is_version_1_2(study: dict[str, Any], read: Any, study_path: Any) -> None:
    study["title"] = "TITLE"
    text = study_path(study).read_text(encoding="utf-8").replace("TITLE", "no")
    text = text.replace("epochs: 3", "epochs: 3\n      learning_rate: 1e-5", 1)
    changed_study = read(text)
    assert changed_study.title == "no"
    assert changed_study.models["small"].train.learning_rate == 1e-5


def test_an_optimizer_may_be_its_name_alone(study: dict[str, Any], read: Any) -> None:
    short = read(changed(study, (*SMALL, "train", "optimizer"), "sgd"))
    assert short == read(changed(study, (*SMALL, "train", "optimizer"), {"name": "sgd"}))
    assert short.models["small"].train.optimizer.dump() == {"name": "sgd"}


@pytest.mark.parametrize("order", [1, -1])
def test_sections_may_stand_in_any_order(study: dict[str, Any], read: Any, order: int) -> None:
    assert read(dict(list(study.items())[::order])) == read(study)


def settings_of(files: list[str], values: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(configfiles=files, config=values)


def test_the_study_is_the_default_or_the_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_study(settings_of([], {}), DEFAULT) == DEFAULT
    assert choose_study(settings_of(["studies/mine.yaml"], {}), DEFAULT) == Path("studies/mine.yaml")


def test_a_study_below_the_working_directory_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert choose_study(settings_of([], {}), tmp_path / "config.yaml") == Path("config.yaml")
    assert choose_study(settings_of([str(tmp_path / "studies/mine.yaml")], {}), DEFAULT) == Path("studies/mine.yaml")


@pytest.mark.parametrize(
    ("files", "values", "text"),
    [
        (["a.yaml", "b.yaml"], {}, "--configfile names 2 files; a study is one file, never merged: name one"),
        ([], {"threads": 2, "seeds": 1}, "--config sets threads, seeds; a study is one file, never merged: "
                                         "copy it, and set threads, seeds there"),
    ],
)  # fmt: skip
def test_studies_are_never_merged(files: list[str], values: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as error:
        choose_study(settings_of(files, values), DEFAULT)
    assert str(error.value) == text


def parsed(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, child in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(child, (*path, key))


PLACES = list(places(parsed(DEFAULT)))
WORDS = sorted({str(key) for path in PLACES for key in path} | {"all", "none", "adam", "simcnn", "stage6", "3", "1e-5"})
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=8)
ATOMS = st.none() | st.booleans() | st.integers(-5, 70) | st.integers() | st.floats() | st.sampled_from(WORDS) | TEXT
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | TEXT, inner, max_size=3),
    max_leaves=6,
)


def names_a_place(tree: Any, text: str, *, first: bool = True) -> bool:
    """Whether ``text`` starts with the path of something in ``tree``, or of a key that is missing there."""
    if text.startswith(": "):
        return True
    for key, child in tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ():
        for written in (f"{'' if first else '.'}{key}", f"[{key!r}]"):
            if text.startswith(written) and names_a_place(child, text.removeprefix(written), first=False):
                return True
    key, _, problem = text.removeprefix("" if first else ".").partition(": ")
    return isinstance(tree, Mapping) and key.isidentifier() and problem.startswith("is required")


@pytest.mark.parametrize("key", [None, True, 1.5, 10**30, date(2026, 1, 2), (1, 2)])
def test_keys_of_any_type_are_refused_in_words(study: dict[str, Any], complaints: Any, key: Any) -> None:
    study[key] = study["models"]["small"]["train"][key] = 1
    assert complaints(study)[0] == ": 2 problems in this study:"


@settings(max_examples=120)
@given(place=st.sampled_from(PLACES[1:]), value=VALUES)
def test_whatever_stands_in_a_study_it_is_read_or_refused_in_words(tmp_path: Path, place: Any, value: Any) -> None:
    path = tmp_path / "study.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(changed(parsed(DEFAULT), place, value), file)
    try:
        tree = parsed(path)
    except YAMLError:
        reject()  # ruamel.yaml writes some texts as it cannot read them
    try:
        study = read_study(path)
    except UserError as error:
        head, *lines = str(error).split("\n  ")
    else:
        assert study.runs
        return
    assert head.endswith(" in this study:")
    for line in lines:
        assert names_a_place(tree, line), line
        assert not any(word in line for word in JARGON), line


# -- weights of other runs, limits, studies that extend others -----------------------------------------------------------


def chained(study: dict[str, Any], **weights: Any) -> dict[str, Any]:
    """A study with a model ``after`` whose weights are those of ``small``, or as given."""
    after = {"architecture": "simcnn", "image_size": 32, "train": {"epochs": 1}, "weights": {"run": "small"} | weights}
    return changed(study, ("models", "after"), after)


def test_a_model_starts_from_the_run_of_the_same_seed(study: dict[str, Any], read: Any) -> None:
    plain = read(chained(study))
    assert plain.starts_from(Run("more", "after", 1)) == Run("more", "small", 1)
    assert plain.starts_from(Run("more", "small", 1)) is None
    assert read(chained(study, dataset="digits")).starts_from(Run("more", "after", 1)) == Run("digits", "small", 1)


def test_runs_that_start_from_one_another_are_refused(study: dict[str, Any], complaints: Any) -> None:
    study = chained(study)
    study["models"]["small"]["weights"] = {"run": "after"}
    assert complaints(study)[1:] == [
        "models.small.weights.run: small starts from after starts from small; no run can come before itself",
        "models.after.weights.run: after starts from small starts from after; no run can come before itself",
    ]


def test_a_run_needs_the_other_on_its_data_set_and_with_its_seed(study: dict[str, Any], complaints: Any) -> None:
    study = chained(study)
    study["models"]["small"]["datasets"] = ["digits"]
    study["models"]["after"]["seeds"] = [0, 5]
    study["ensembles"] = {}
    assert complaints(study)[1:] == [
        "models.after.weights.run: 'small' does not train on 'more'; name under dataset one on which it does",
        "models.after.weights.run: 'small' has no run with seed 5, which this model has",
    ]


def test_models_may_have_seeds_of_their_own(study: dict[str, Any], read: Any) -> None:
    plain = read(changed(study, (*TUNED, "seeds"), [4, 5, 6]))
    assert [run.seed for run in plain.runs if run.model == "tuned"] == [4, 5, 6]
    members = plain.members("everything", "digits")
    assert [member.seeds for member in members if member.model == "tuned"] == [(4,), (5,), (6,)]
    assert [member.seeds for member in members if member.model == "small"] == [(0,), (1,)]


def test_why_and_seeds_make_no_run_stale(study: dict[str, Any], read: Any) -> None:
    before = read(study).models["small"].trained
    study["models"]["small"] |= {"why": "it is small", "seeds": [7]}
    assert read(study).models["small"].trained == before


LIMITS = {"models": ["after"], "images_per_class": 5, "epochs": 2, "seeds": 1, "trials": 3}
REFERENCE = {
    "title": "A report",
    "figures": [
        {"of": "after", "dataset": "more", "images": 100, "test": {"top1": 0.5}},
        {"of": "tuned", "train": {"top1": 0.9}},
    ],
}


def test_limits_keep_models_and_what_they_start_from(study: dict[str, Any], read: Any) -> None:
    plain = read(chained(study) | {"limits": LIMITS, "reference": REFERENCE})
    assert list(plain.models) == ["small", "after"]
    assert [model.train.epochs for model in plain.models.values()] == [2, 1]
    assert plain.seeds == [0]
    assert plain.ensembles["pair"].members == ["small"]
    assert plain.ensembles["everything"].members == "all"
    assert [figure.of for figure in plain.reference.figures] == ["after"]
    for dataset in plain.datasets.values():
        assert dataset.subset.per_class.dump() == {"train": 5, "validation": 5, "test": 5}


def test_limits_leave_out_what_no_model_is_left_for(study: dict[str, Any], read: Any) -> None:
    study["ensembles"]["pair"]["datasets"] = ["more"]
    plain = read(
        study
        | {
            "limits": {"models": ["tuned"], "trials": 2},
            "reference": REFERENCE | {"figures": [REFERENCE["figures"][1]]},
        }
    )
    assert list(plain.datasets) == ["digits"]
    assert list(plain.ensembles) == ["everything"]
    assert plain.models["tuned"].tune.trials == 2
    assert [figure.of for figure in plain.reference.figures] == ["tuned"]


def test_limits_only_ever_take_away(study: dict[str, Any], read: Any) -> None:
    study["datasets"]["more"]["subset"] = {"per_class": {"train": 3, "test": 50}}
    study["models"]["small"]["train"] = {
        "epochs": 3,
        "schedule": "cosine",
        "warmup_epochs": 2,
        "steps_per_epoch": 100,
    }
    limits = {"images_per_class": 10, "epochs": 2, "seeds": 9, "trials": 9}
    plain = read(study | {"limits": limits})
    assert plain.seeds == [0, 1]
    assert plain.models["tuned"].tune.trials == 4
    assert plain.datasets["more"].subset.per_class.dump() == {"train": 3, "validation": 10, "test": 10}
    train = plain.models["small"].train
    assert (train.epochs, train.warmup_epochs, train.steps_per_epoch) == (2, None, None)


def test_published_figures_know_their_data_set(study: dict[str, Any], read: Any) -> None:
    plain = read(chained(study) | {"reference": REFERENCE})
    assert [figure.dataset for figure in plain.reference.figures] == ["more", "digits"]


@pytest.fixture
def extend(study: dict[str, Any], study_path: Any, tmp_path: Path) -> Any:
    """Reads a study with these keys that extends the example in another folder."""
    base = study_path(study)
    folder = tmp_path / "reduced"
    folder.mkdir()

    def read_extended(text: str) -> Any:
        (folder / "own.yaml").write_text(text)
        return read_study(folder / "own.yaml")

    assert base.name == "study.yaml"
    return read_extended


def test_a_study_extends_another_and_says_what_differs(extend: Any) -> None:
    plain = extend(
        "extends: ../study.yaml\nstudy: own\nseeds: [3]\nmodels: {small: {train: {epochs: 1}}, tuned: null, "
        "wide: {extends: small, train: {batch_size: 8}}}\nlimits: {images_per_class: 2}"
    )
    assert (plain.study, plain.seeds) == ("own", [3])
    assert list(plain.models) == ["small", "probe", "wide"]
    assert plain.models["small"].train.epochs == plain.models["wide"].train.epochs == 1
    assert plain.models["wide"].train.batch_size == 8
    assert plain.datasets["digits"].subset.per_class.train == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("extends: ../study.yaml", "study: is required; a study that extends another needs a name of its own"),
        ("extends: ../study.yaml\nstudy: example", "has this name too, and their results would mix; choose another"),
        ("extends: 3\nstudy: own", "extends: 3 is not the path of a study file"),
        ("extends: own.yaml\nstudy: own", "extends: own.yaml extends this study itself"),
        ("extends: absent.yaml\nstudy: own", "absent.yaml: the study cannot be read (No such file or directory)"),
        ("extends: ../study.yaml\nstudy: own\nseed: [1]", "seed: is not a key here; did you mean 'seeds'?"),
    ],
)
def test_a_study_that_cannot_extend_another_says_why(extend: Any, text: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        extend(text)
    assert complaint in str(error.value)
    assert "reduced/" in str(error.value)
