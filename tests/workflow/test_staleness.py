"""Only stale stages rerun: stale is changed data, changed configuration of that stage, or changed code that it runs."""

import ast
import os
import re
import shutil
from pathlib import Path

import pytest

from .conftest import STUDY, Project

RUNS = {f"train_model digits/{model}/{seed}" for model in ("simcnn", "probe", "dcnn") for seed in (0, 1)}
TABLES = {"evaluate_runs", "compare_models", "format_tables", "draw_model_comparison digits", "write_report"}
ENSEMBLES = {"combine_ensemble digits/everything", "combine_ensemble digits/networks"}
ENSEMBLE_FIGURES = {
    f"{figure} digits/{name}"
    for figure in ("draw_confusion_matrix", "draw_growth")
    for name in ("everything", "networks")
}


def figures_of(model: str) -> set[str]:
    return {f"draw_learning_curves digits/{model}", f"draw_confusion_matrix digits/{model}"}


TUNING_FIGURES = {
    f"draw_tuning {kind}/digits/dcnn"
    for kind in ("history", "importance", "parallel_coordinates", "intermediate_values", "slice")
}
SEARCH = {"tune_model digits/dcnn/0", "collect_trials digits/dcnn", "choose_trial digits/dcnn"}
FIGURES = (
    set.union(*(figures_of(model) for model in ("simcnn", "probe", "dcnn")))
    | ENSEMBLE_FIGURES
    | TUNING_FIGURES
    | {"draw_model_comparison digits", "draw_sample_grid digits"}
)


def commented(source: str) -> str:
    """``source`` with another docstring and a comment on top, and a docstring in every function, laid out anew."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.Expr(ast.Constant("Says it in other words."))
            node.body[: ast.get_docstring(node) is not None] = [text]
            node.body.append(ast.Expr(ast.Constant("Describes what stands above.")))
    return f"# A remark.\n\n\n{ast.unparse(ast.fix_missing_locations(tree))}\n"


def test_nothing_changed(finished: Project) -> None:
    assert finished.planned() == set()
    assert "Nothing to be done" in finished.snakemake("--cores", "1").stdout


def test_every_file_touched(finished: Project) -> None:
    for path in finished.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert finished.planned() == set()


def test_comments_docstrings_and_layout_everywhere(finished: Project) -> None:
    sources = [*finished.folder.glob("graft/**/*.py"), *finished.folder.glob("scripts/*.py")]
    assert len(sources) > 40
    before = {path: path.read_text() for path in sources}
    for path, source in before.items():
        path.write_text(commented(source))
    try:
        assert finished.planned() == set()
    finally:
        for path, source in before.items():
            path.write_text(source)


def test_learning_rate_of_one_model(finished: Project) -> None:
    with finished.edited("config.yaml", lambda text: text.replace("learning_rate: 3e-3", "learning_rate: 2e-3")):
        expected = {"train_model digits/probe/0", "train_model digits/probe/1", *figures_of("probe"), *TABLES}
        # The ensemble without that model stays as it is.
        jobs = ("combine_ensemble", "draw_confusion_matrix", "draw_growth")
        expected |= {f"{job} digits/everything" for job in jobs}
        assert finished.planned() == expected


def test_space_of_a_search(finished: Project) -> None:
    with finished.edited("config.yaml", lambda text: text.replace("high: 1e-3", "high: 1e-4")):
        expected = {
            *SEARCH,
            "train_model digits/dcnn/0",
            "train_model digits/dcnn/1",
            *figures_of("dcnn"),
        }
        expected |= {*TUNING_FIGURES, *ENSEMBLES, *ENSEMBLE_FIGURES, *TABLES}
        assert finished.planned() == expected


def test_colour_of_a_figure_redraws_without_a_network_framework(finished: Project, tmp_path: Path) -> None:
    for framework in ("tensorflow", "keras", "jax", "torch"):
        (tmp_path / f"{framework}.py").write_text("raise SystemExit('a network framework was imported')")
    colour = "#0072B2"
    with finished.edited("graft/figures/style.py", lambda text: text.replace(colour, "#123456")):
        assert finished.planned() == FIGURES | {"write_report"}
        finished.snakemake("--cores", "2", PYTHONPATH=str(tmp_path))
        svg = (finished.folder / "results/small/figures/learning_curves.digits.simcnn.svg").read_text()
        assert "#123456" in svg and colour.lower() not in svg.lower()
    finished.snakemake("--cores", "2", PYTHONPATH=str(tmp_path))
    assert finished.planned() == set()


def test_settings_of_figures_redraw_them_and_nothing_else(finished: Project) -> None:
    with finished.edited("config.yaml", lambda text: f"{text}figures: {{language: de, formats: [pdf]}}\n"):
        assert finished.planned() == FIGURES | {"write_report"}


def test_one_kind_of_figure_redraws_alone(finished: Project) -> None:
    with finished.edited("graft/figures/sample_grid.py", lambda text: f"{text}\n\nUNUSED = 1\n"):
        assert finished.planned() == {"draw_sample_grid digits", "write_report"}
    with finished.edited("graft/figures/tuning.py", lambda text: f"{text}\n\nUNUSED = 1\n"):
        assert finished.planned() == TUNING_FIGURES | {"write_report"}


def test_how_tables_are_typeset_formats_them_alone(finished: Project) -> None:
    with finished.edited("graft/typeset.py", lambda text: text.replace("LOSS_DIGITS = 3", "LOSS_DIGITS = 4")):
        assert finished.planned() == {"format_tables"}


def test_line_in_the_metrics(finished: Project) -> None:
    with finished.edited("graft/metrics.py", lambda text: text.replace("BINS = 15", "BINS = 20")):
        confusion = {job for job in FIGURES if job.startswith("draw_confusion_matrix")}
        assert finished.planned() == TABLES | confusion


def test_code_of_training(finished: Project) -> None:
    with finished.edited("graft/training.py", lambda text: text.replace('metrics=["accuracy"]', "metrics=['acc']")):
        assert {job for job in finished.planned() if job.startswith(("train", "tune"))} == RUNS | {
            "tune_model digits/dcnn/0"
        }
        assert not {job for job in finished.planned() if job.startswith(("prepare", "index", "compute_features"))}


def test_code_of_one_architecture(finished: Project) -> None:
    with finished.edited("graft/models/simcnn.py", lambda text: text.replace("Dense(64", "Dense(65")):
        assert {job for job in finished.planned() if job.startswith(("train", "tune", "compute"))} == {
            "train_model digits/simcnn/0",
            "train_model digits/simcnn/1",
        }


def test_new_architecture_in_a_file_of_its_own(finished: Project) -> None:
    source = (finished.folder / "graft/models/simcnn.py").read_text().replace("simcnn", "another")
    new = finished.folder / "graft/models/another.py"
    new.write_text(source)
    try:
        assert finished.planned() == set()
        use = STUDY.replace("architecture: simcnn", "architecture: another")
        with finished.edited("config.yaml", lambda _: use):
            assert {job for job in finished.planned() if job.startswith("train")} == {
                "train_model digits/simcnn/0",
                "train_model digits/simcnn/1",
            }
    finally:
        new.unlink()


@pytest.mark.parametrize(
    ("file", "where"),
    [("train", "class Train(Strict):"), ("models", "class Model(OnDatasets):"), ("study", "class Study(Strict):")],
)
def test_new_optional_key_left_unset(finished: Project, file: str, where: str) -> None:
    key = "    brand_new: int | None = None\n"

    def add(text: str) -> str:
        return re.sub(rf'({re.escape(where)}\n    """.*?"""\n)', rf"\1\n{key}", text, flags=re.DOTALL)

    with finished.edited(f"graft/config/{file}.py", add):
        assert finished.planned() == set()


def test_one_more_seed(finished: Project) -> None:
    with finished.edited("config.yaml", lambda text: text.replace("seeds: [0, 1]", "seeds: [0, 1, 2]")):
        expected = {f"train_model digits/{model}/2" for model in ("simcnn", "probe", "dcnn")}
        expected |= FIGURES - TUNING_FIGURES - {"draw_sample_grid digits"} | ENSEMBLES | TABLES
        assert finished.planned() == expected


def test_search_starts_anew_on_another_split(finished: Project) -> None:
    """Trials of the old split have seen images that the new one tests on."""
    study = STUDY.replace("study: small", "study: resplit").replace("trials: 2", "trials: 1")
    trials = finished.folder / "results/resplit/tuning/digits/dcnn/search/trials.csv"
    found = []
    for seed in (0, 1):
        (finished.folder / "resplit.yaml").write_text(study.replace("seed: 0}", f"seed: {seed}}}"))
        finished.snakemake(
            "--cores", "2", "--configfile", "resplit.yaml", "--", str(trials.relative_to(finished.folder))
        )
        found.append(trials.read_text())
    assert found[0] != found[1]


def test_a_moved_project_is_no_changed_one(finished: Project, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished.folder, moved)
    assert Project(moved, new=False).planned() == set()


def test_another_study_shares_what_is_prepared(finished: Project) -> None:
    other = STUDY.replace("study: small", "study: other").replace("seed: 0}", "seed: 1}")
    (finished.folder / "other.yaml").write_text(other)
    jobs = finished.planned("--configfile", "other.yaml")
    assert {job for job in jobs if job.startswith("train")} == RUNS
    assert not {job for job in jobs if job.startswith(("download", "index", "prepare", "compute"))}
