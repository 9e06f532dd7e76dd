"""When code counts as changed: a hash of what a script runs, blind to comments, docstrings and formatting."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _write_canonical(node: object, out: list[str]) -> None:
    # Not ast.dump: its output differs between Python versions, in the empty fields that it prints.
    if isinstance(node, ast.AST):
        out.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):  # of statements, or of anything else
                value = [item for item in value if not _is_text(item)]
            if value is not None and value != []:
                out.append(f" {name}=")
                _write_canonical(value, out)
        out.append(")")
    elif isinstance(node, list):
        for item in node:
            _write_canonical(item, out)
    else:
        out.append(repr(node))


def _digest(tree: ast.Module) -> str:
    out: list[str] = []
    _write_canonical(tree, out)
    return hashlib.sha256("".join(out).encode()).hexdigest()


def source_digest(source: str) -> str:
    """A hash of what a module does: equal for sources that differ in comments, docstrings or layout only."""
    return _digest(ast.parse(source))


def _module_path(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(root: Path, path: Path, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(root).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "graft" and _module_path(root, name))


@cache
def _read(root: Path, path: Path) -> tuple[str, frozenset[str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return _digest(tree), frozenset(_imports(root, path, tree))


def reached_modules(script: str, *modules: str, root: Path = ROOT) -> dict[str, str]:
    """Every module of ``graft`` that ``scripts/<script>.py`` or one of ``modules`` imports, however far, and its digest.

    Raises:
        ValueError: one of ``modules`` is not a module of this project.
    """
    digests: dict[str, str] = {}
    todo = {*modules, *_read(root, root / "scripts" / f"{script}.py")[1]}
    while todo:
        module = todo.pop()
        path = _module_path(root, module)
        if path is None:
            raise ValueError(f"{module} is not a module of this project")
        digests[module], imports = _read(root, path)
        # Importing a.b.c runs a and a.b first.
        parents = {module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)}
        todo |= (imports | parents) - digests.keys()
    return digests


@cache
def fingerprint(script: str, *modules: str, root: Path = ROOT) -> str:
    """A hash of ``scripts/<script>.py``, of ``modules``, and of every module of ``graft`` that they import.

    Imports are followed wherever they stand, inside functions too. What is found by name at run time
    (an architecture, an ensemble method) is not an import: the job names its own in ``modules``.
    """
    digests = reached_modules(script, *modules, root=root)
    digests[script] = _read(root, root / "scripts" / f"{script}.py")[0]
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()[:16]
