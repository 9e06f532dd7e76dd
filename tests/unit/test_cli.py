"""The command: what it prints and writes, and what it says where something is wrong."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from graft.cli import main
from graft.files import record_sums, write_json
from graft.predictions import Predictions, SplitPredictions, save_predictions

CLASSES = ["zero", "one", "class"]


@pytest.fixture(scope="module")
def folder(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of one network and six digits in two folders."""
    from graft.finetune import build_network
    from graft.training import Batches, predict_log_prob

    folder = tmp_path_factory.mktemp("finished")
    keras.utils.set_random_seed(0)
    network = build_network("mnist_mlp", 8, len(CLASSES))
    network.save(folder / "model.keras")
    digits = np.round(load_digits().images[:6] * (255 / 16)).astype(np.uint8)
    for k, digit in enumerate(digits):
        path = folder / ("even" if k % 2 == 0 else "odd") / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(digit).save(path)
    images = np.repeat(digits[..., None], 3, axis=3)
    label = np.array([0, 1, 2, 0, 1, 2])
    log_prob = predict_log_prob(network, Batches([images], label, np.arange(6), 6))
    split = SplitPredictions(np.array([f"{k}" for k in range(6)]), label, log_prob)
    save_predictions(folder / "predictions.npz", Predictions(CLASSES, {"validation": split, "test": split}))
    member = {"member": "mlp seed 0", "kind": "run", "image_size": 8, "weight": 1.0}
    member |= {"networks": ["model.keras"], "predictions": ["predictions.npz"]}
    preparation = {"resize": "squash", "interpolation": "bicubic"}
    described = {"method": {"name": "soft_vote"}, "classes": CLASSES, "preparation": preparation, "members": [member]}
    write_json(folder / "ensemble.json", described)
    record_sums(folder / "SHA256SUMS", [folder / f for f in ("model.keras", "predictions.npz", "ensemble.json")])
    return folder


@pytest.fixture
def graft(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command in the folder and in this process, whose framework runs already: status, output and errors."""
    monkeypatch.setattr("graft.backends.start_backend", lambda *_, **options: None)
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def expected(folder: Path) -> np.ndarray:
    """Log probabilities (6, classes)."""
    with np.load(folder / "predictions.npz") as arrays:
        log_prob: np.ndarray = arrays["test_log_prob"]
    return log_prob


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


def test_a_table_has_a_line_for_each_image_and_the_most_probable_classes(graft: Any, folder: Path) -> None:
    status, out, err = graft("predict", "ensemble.json", "odd", "even/0.png", "--top", "2")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["odd/1.png", "odd/3.png", "odd/5.png", "even/0.png"]
    for line, log_prob in zip(lines, expected(folder)[[1, 3, 5, 0]], strict=True):
        best = np.argsort(-log_prob)[:2]
        assert line[1::2] == [CLASSES[k] for k in best]
        np.testing.assert_allclose([float(number) for number in line[2::2]], np.exp(log_prob[best]), atol=1e-4)
    assert len({len(line) for line in out.splitlines()}) == 1, "columns stand below each other"


def test_a_file_has_every_class_of_each_image(graft: Any, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "new/predictions.csv"
    status, out, err = graft("predict", "ensemble.json", "even", "odd", "--output", str(output), "--batch-size", "4")
    assert (status, out, err) == (0, f"6 of 6 images are in {output}\n", "")
    head, *table = rows(output)
    assert head == ["image", "class", "probability", "p_zero", "p_one", "p_class"]
    assert [row[0] for row in table] == [f"{'odd' if k % 2 else 'even'}/{k}.png" for k in (0, 2, 4, 1, 3, 5)]
    theirs = np.exp(expected(folder)[[0, 2, 4, 1, 3, 5]])
    np.testing.assert_allclose([[float(number) for number in row[3:]] for row in table], theirs, atol=1e-5)
    for row, probability in zip(table, theirs, strict=True):
        assert row[1] == CLASSES[probability.argmax()]
        assert row[2] == max(row[3:], key=float)


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_labelled(
    graft: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    output = tmp_path / "out.csv"
    status, out, err = graft(
        "predict", "ensemble.json", str(tmp_path / "bad.png"), "even/0.png", "--output", str(output)
    )
    assert status == 1
    assert err == f"graft: {tmp_path / 'bad.png'}: is empty (0 bytes)\n"
    assert out == f"1 of 2 images are in {output}\n"
    assert [row[0] for row in rows(output)[1:]] == ["even/0.png"]


def test_a_name_may_hold_anything(graft: Any, folder: Path, tmp_path: Path) -> None:
    names = [b"\xff.png", b"a\x1b[2J,\n.png"]
    for name in names:
        Path(bytes(tmp_path).decode() + "/" + name.decode(errors="surrogateescape")).write_bytes(
            (folder / "even/0.png").read_bytes()
        )
    output = tmp_path / "out.csv"
    assert graft("predict", "ensemble.json", str(tmp_path), "--output", str(output))[0] == 0
    found = {Path(row[0]).name.encode(errors="surrogateescape") for row in rows(output)[1:]}
    assert found == set(names)
    status, out, _ = graft("predict", "ensemble.json", str(tmp_path))
    assert status == 0
    assert out.isascii() and "\x1b" not in out and len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["gone.json", "even"], "gone.json: no such file; name the ensemble.json of a finished ensemble, "),
        (["model.keras", "even"], "model.keras: another kind of file; name "),
        (["ensemble.json", "gone"], "gone: no such file or folder"),
        (["ensemble.json", "even", "--output", "odd"], "odd: a folder; name a file"),
        (["ensemble.json", "even", "--output", "even/0.png/out.csv"], "even/0.png: File exists"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(graft: Any, arguments: list[str], text: str) -> None:
    status, out, err = graft("predict", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith(f"graft: {text}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["predict"], ["predict", "a.json", "b.png", "--top", "0"], ["guess"]])
def test_a_command_that_is_not_understood_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: graft" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (OSError(28, "No space left on device"), 1, "graft: No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_no_traceback_of_a_full_disk_or_an_interrupt(
    graft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, text: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("graft.predict.label_files", fail)
    assert graft("predict", "ensemble.json", "even", "--output", str(tmp_path / "out.csv")) == (status, "", text)
    assert list(tmp_path.iterdir()) == []


def test_it_runs_as_a_module_from_anywhere(folder: Path, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "graft.cli", "predict", str(folder / "ensemble.json"), str(folder / "odd")]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        CLASSES[k] for k in expected(folder)[[1, 3, 5]].argmax(axis=1)
    ]
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("ENSEMBLE", "IMAGE", "--output", "--top", "--batch-size", "--backend"))


# -- graft status --------------------------------------------------------------------------------------------------------


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which two studies have run, and which is the current one."""
    for study in ("digits", "flowers"):
        log = tmp_path / f"results/{study}/logs/split_dataset/{study}.log"
        log.parent.mkdir(parents=True)
        log.write_text("2026-11-22 02:52:28,875  1,244 train, 361 test, 192 validation\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("graft.status.held_files", set)
    return tmp_path


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    ended = main(["status", *arguments])
    said = capsys.readouterr()
    return ended, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [([], ["digits", "flowers"]), (["results/flowers"], ["flowers"]), (["results/digits/"], ["digits"])],
)
def test_status_shows_the_studies_that_are_named_or_all(
    studies: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], shown: list[str]
) -> None:
    ended, out, err = status(capsys, *arguments)
    assert (ended, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines() if "no log of Snakemake" in line] == shown
    assert [line for line in out.splitlines() if line.endswith(".log")] == [
        f"  results/{name}/logs/split_dataset/{name}.log" for name in shown
    ]


@pytest.mark.parametrize("on_terminal", [False, True])
def test_status_is_drawn_again_until_it_is_interrupted(
    studies: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("graft.cli.time.sleep", sleep)
    monkeypatch.setattr("sys.stdout.isatty", lambda: on_terminal)
    monkeypatch.setenv("LINES", "5")
    ended, out, err = status(capsys, "results/digits", "--watch")
    assert (ended, err, slept) == (0, "", [5.0] * 3)
    assert out.count("digits: last sign of life") == 3
    assert ("\x1b" in out) == on_terminal
    if on_terminal:  # no more lines than it has, and the cursor stays below them
        assert [screen.count("\n") for screen in out.split("\x1b[H")[1:]] == [4] * 3
        assert out.count("... and 4 lines more") == 3


def test_status_says_where_it_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = "results: no study with logs below it; name a RESULTS_FOLDER, or start where snakemake was started"
    assert status(capsys) == (1, "", f"graft: {nothing}\n")
    wrong = "results/none: no folder of results with logs; name results/<study> of a study that has been started"
    assert status(capsys, "results/none") == (1, "", f"graft: {wrong}\n")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "results/digits"])
def test_status_refuses_what_is_no_number_of_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", f"--watch={seconds}"])
    assert ended.value.code == 2
    assert f"{seconds!r} is not a number of seconds above 0" in capsys.readouterr().err


def test_status_loads_neither_snakemake_nor_a_network_framework(studies: Path) -> None:
    code = "import sys; from graft.cli import main; main(['status']); "
    code += "print(sorted({'keras', 'tensorflow', 'snakemake', 'pandas', 'optuna'} & {*sys.modules}))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "[]")


def test_help_says_what_every_column_of_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    text = capsys.readouterr().out
    stages = ("earlier", "done", "running", "failed", "silent", "left", "time left")
    assert all(f"\n  {word} " in text for word in (*stages, "epoch", "best acc", "trials", "said"))
    assert max(map(len, text.splitlines())) <= 120
