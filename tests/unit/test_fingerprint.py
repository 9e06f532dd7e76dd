import ast
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.fingerprint import ROOT, fingerprint, reached_modules, source_digest

FILES = {
    "scripts/train_model.py": "import json\nfrom graft.first import start\nstart(1)\n",
    "scripts/other.py": "from graft.lonely import alone\nalone()\n",
    "graft/__init__.py": "",
    "graft/first.py": '''
        """First."""
        from graft.second import go

        def start(n):
            """Start."""
            return go(n) + "a"  # a comment
    ''',
    "graft/second.py": "def go(n):\n    from graft.deep.third import LIMIT\n    return n * LIMIT\n",
    "graft/deep/__init__.py": "READY = True\n",
    "graft/deep/third.py": "LIMIT = 10\n",
    "graft/lonely.py": "def alone(): pass\n",
    "graft/models/__init__.py": "",
    "graft/models/chosen.py": "DEPTH = 3\n",
    "graft/models/sibling.py": "DEPTH = 4\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small project, with some files changed, each time under a root of its own."""
    number = itertools.count()

    def write(changes: dict[str, str] | None = None) -> Path:
        root = tmp_path / str(next(number))
        for name, text in (FILES | (changes or {})).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return root

    return write


def changes_the_hash(project: Callable[..., Path], name: str, text: str, *modules: str) -> bool:
    before, after = (fingerprint("train_model", *modules, root=root) for root in (project(), project({name: text})))
    return before != after


FIRST = textwrap.dedent(FILES["graft/first.py"])


@pytest.mark.parametrize(
    "text",
    {
        "no comment": FIRST.replace("  # a comment", ""),
        "another comment": FIRST.replace("# a comment", "# why"),
        "no docstring of the function": FIRST.replace('    """Start."""\n', ""),
        "another docstring of the module": FIRST.replace('"""First."""', '"""The first of them."""'),
        "a docstring of a variable": f'{FIRST}"""What start is for."""\n',
        "other quotes": FIRST.replace('"a"', "'a'"),
        "blank lines": FIRST.replace("\n\n", "\n\n\n\n"),
        "a statement over two lines": FIRST.replace("return go(n)", "return go(\n        n\n    )"),
        "needless parentheses": FIRST.replace("return go(n)", "return (go(n))"),
    }.items(),
    ids=lambda item: item[0],
)
def test_how_code_is_written_does_not_count(project: Callable[..., Path], text: tuple[str, str]) -> None:
    assert text[1] != FIRST
    assert not changes_the_hash(project, "graft/first.py", text[1])


@pytest.mark.parametrize(
    ("name", "text"),
    {
        "the script": ("scripts/train_model.py", "from graft.first import start\nstart(2)\n"),
        "a constant": ("graft/first.py", FIRST.replace('"a"', '"b"')),
        "text that is no docstring": ("graft/first.py", FIRST.replace('"""Start."""', 'note = """Start."""')),
        "a name": ("graft/second.py", FILES["graft/second.py"].replace("n * LIMIT", "n + LIMIT")),
        "a module that a function imports": ("graft/deep/third.py", "LIMIT = 11\n"),
        "a number's type": ("graft/deep/third.py", "LIMIT = 10.0\n"),
        "a package on the way": ("graft/deep/__init__.py", "READY = False\n"),
        "the root package": ("graft/__init__.py", "VERSION = 1\n"),
        "an import": ("graft/second.py", FILES["graft/second.py"].replace("LIMIT", "BOUND")),
    }.values(),
)  # fmt: skip
def test_what_code_does_counts(project: Callable[..., Path], name: str, text: str) -> None:
    assert changes_the_hash(project, name, text)


@pytest.mark.parametrize("line", ["from .second import go", "from . import second"])
def test_relative_imports_are_followed(project: Callable[..., Path], line: str) -> None:
    relative = FIRST.replace("from graft.second import go", line)
    before = project({"graft/first.py": relative})
    after = project({"graft/first.py": relative, "graft/deep/third.py": "LIMIT = 11\n"})
    assert fingerprint("train_model", root=before) != fingerprint("train_model", root=after)


def test_a_module_that_is_not_reached_does_not_count(project: Callable[..., Path]) -> None:
    assert not changes_the_hash(project, "graft/lonely.py", "def alone(): return 1\n")
    assert not changes_the_hash(project, "scripts/other.py", "")


def test_of_the_architectures_only_the_named_one_counts(project: Callable[..., Path]) -> None:
    chosen = "graft.models.chosen"
    assert not changes_the_hash(project, "graft/models/sibling.py", "DEPTH = 5\n", chosen)
    assert changes_the_hash(project, "graft/models/chosen.py", "DEPTH = 5\n", chosen)
    assert changes_the_hash(project, "graft/models/__init__.py", "ALL = []\n", chosen)
    assert not changes_the_hash(project, "graft/models/chosen.py", "DEPTH = 5\n")


def test_which_architecture_is_named_counts(project: Callable[..., Path]) -> None:
    root = project({"graft/models/sibling.py": FILES["graft/models/chosen.py"]})
    hashes = {fingerprint("train_model", f"graft.models.{name}", root=root) for name in ("chosen", "sibling")}
    assert len(hashes) == 2


def test_where_the_project_lies_does_not_count(project: Callable[..., Path]) -> None:
    assert fingerprint("train_model", root=project()) == fingerprint("train_model", root=project())


@pytest.mark.parametrize(
    "import_text",
    ["import graft.lonely", "import graft.lonely as l", "from graft import lonely", "from graft.lonely import alone"],
)
def test_every_form_of_import_is_followed(project: Callable[..., Path], import_text: str) -> None:
    reached = reached_modules("train_model", root=project({"graft/deep/third.py": import_text}))
    assert reached.keys() == {"graft", "graft.first", "graft.second", "graft.deep", "graft.deep.third", "graft.lonely"}


def test_modules_may_import_each_other(project: Callable[..., Path]) -> None:
    root = project({"graft/deep/third.py": "import graft.first\nLIMIT = 1\n"})
    assert "graft.deep.third" in reached_modules("train_model", root=root)


def test_a_module_that_does_not_exist_is_an_error(project: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"^graft\.models\.gone is not a module of this project$"):
        fingerprint("train_model", "graft.models.gone", root=project())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("return", "return None"),
        ("global a, b", "global ab"),
        ("f(*a, b)", "f(a, *b)"),
        ("x: int", "x: int = 0"),
        ("f(1)", "f(True)"),
        ("f('1')", "f(1)"),
        ("{**a}", "{None: a}"),
        ("a = b = c", "a = (b, c)"),
    ],
)
def test_statements_that_differ_have_different_digests(one: str, two: str) -> None:
    digests = {source_digest(f"def g():\n    {statement}\n") for statement in (one, two)}
    assert len(digests) == 2


# -- this project --------------------------------------------------------------------------------------------------------

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))


def test_there_are_scripts_to_look_at() -> None:
    assert {"train_model", "evaluate_runs", "combine_ensemble"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_study_that_says_more_makes_no_result_stale(script: str) -> None:
    """A new key changes graft.config, and with it every result of a script that reached it."""
    reached = reached_modules(script)
    assert "graft.errors" in reached
    kept_apart = {"graft.config", "graft.study_file", "graft.problems", "graft.fingerprint"}
    assert not [module for module in reached if ".".join(module.split(".")[:2]) in kept_apart]


@pytest.mark.parametrize("script", ["evaluate_runs", "combine_ensemble", "split_dataset"])
def test_what_reads_predictions_reaches_no_training(script: str) -> None:
    networks = {"graft.training", "graft.runs", "graft.finetune", "graft.features", "graft.tuning", "graft.backends"}
    assert not networks & reached_modules(script).keys()


@pytest.mark.parametrize("script", ["train_model", "tune_model", "compute_features"])
def test_what_is_measured_and_drawn_makes_no_training_stale(script: str) -> None:
    reached = reached_modules(script, "graft.models.simcnn")
    assert "graft.models.simcnn" in reached
    shown = {"graft.metrics", "graft.tables", "graft.figures", "graft.report", "graft.ensembles", "graft.models.dcnn"}
    assert not shown & reached.keys()


def test_weights_from_a_file_bring_its_reader() -> None:
    assert "graft.sources.torch_file" in reached_modules("train_model", "graft.models.efficientnet_lite0")


@pytest.mark.parametrize("path", sorted((ROOT / "graft").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_is_relative_for_those_are_not_followed(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    assert not [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
