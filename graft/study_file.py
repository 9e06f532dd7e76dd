"""Reads a study file: YAML 1.2 to a checked :class:`~graft.config.Study`, or one message that names every problem."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from graft.config import Study
from graft.errors import UserError
from graft.extends import resolve
from graft.problems import describe


def choose_study(settings: Any, default: Path) -> Path:
    """The one study file of an invocation: ``default``, or the one that ``--configfile`` names in its place.

    Raises:
        UserError: two files are named, or keys are given on the command line; a study is one file, never merged.
    """
    if len(settings.configfiles) > 1:
        raise UserError(
            f"--configfile names {len(settings.configfiles)} files; a study is one file, never merged: name one"
        )
    if settings.config:
        keys = ", ".join(settings.config)
        raise UserError(f"--config sets {keys}; a study is one file, never merged: copy it, and set {keys} there")
    path = Path(settings.configfiles[0]) if settings.configfiles else default
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path  # as a user would name it


def _parse(path: Path) -> Any:
    # YAML 1.2: 1e-5 is a number, `no` is text, and a key that is given twice is an error.
    try:
        return YAML(typ="safe", pure=True).load(path)
    except OSError as error:
        raise UserError(f"{path}: the study cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise UserError(f"{path}: not valid YAML: it is nested too deeply") from error
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        if isinstance(error, DuplicateKeyError):
            raise UserError(
                f"{path}{where}: {str(error.problem).split(' with value')[0]}; a key stands once"
            ) from error
        said = (error.context, error.problem) if isinstance(error, MarkedYAMLError) else (str(error).splitlines()[0],)
        problem = ", ".join(filter(None, said))
        raise UserError(f"{path}{where}: not valid YAML: {problem}") from error


def _listed(path: str | Path, problems: list[str]) -> str:
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    return "\n  ".join([f"{path}: {count} in this study:", *problems])


def read_study(path: str | Path) -> Study:
    """The study in a file.

    Raises:
        UserError: the file cannot be read, is not YAML, or says what a study may not; the text lists every problem.
    """
    plain = _parse(Path(path))
    if not isinstance(plain, dict):
        what = "is empty" if plain is None else f"holds {type(plain).__name__} values, not keys"
        raise UserError(f"{path}: {what}; a study starts with the keys study, datasets and models (see config.yaml)")
    if isinstance(plain.get("models"), dict):
        models, problems = resolve(plain["models"])
        if problems:
            raise UserError(_listed(path, problems))
        plain = plain | {"models": models}
    context = {key: plain[key] for key in ("datasets", "models") if isinstance(plain.get(key), dict)}
    try:
        return Study.model_validate(plain, context=context)
    except ValidationError as error:
        raise UserError(_listed(path, describe(error, Study))) from None
