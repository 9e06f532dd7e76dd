"""Reads a study file: YAML 1.2 to a checked :class:`~graft.config.Study`, or one message that names every problem."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from graft.config import Study
from graft.config.limits import limited
from graft.errors import UserError
from graft.extends import KEY, merge, resolve
from graft.presets import FILES
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


def _mapping(path: Path) -> dict[str, Any]:
    plain = _parse(path)
    if not isinstance(plain, dict):
        what = "is empty" if plain is None else f"holds {type(plain).__name__} values, not keys"
        raise UserError(f"{path}: {what}; a study starts with the keys study, datasets and models (see config.yaml)")
    return plain


def _whole(path: Path, before: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a study file, and those of the study that it extends."""
    plain = _mapping(path)
    if KEY not in plain:
        return plain
    base = plain.pop(KEY)
    if not isinstance(base, str):
        raise UserError(f"{path}: {KEY}: {base!r} is not the path of a study file")
    if "study" not in plain:
        raise UserError(f"{path}: study: is required; a study that extends another needs a name of its own")
    seen = (*before, path.resolve())
    extended = path.parent / base
    if extended.resolve() in seen:
        raise UserError(f"{path}: {KEY}: {base} extends this study itself")
    whole = _whole(extended, seen)
    if plain["study"] == whole.get("study"):
        raise UserError(f"{path}: study: {extended} has this name too, and their results would mix; choose another")
    return merge(whole, plain)


def _listed(path: str | Path, problems: list[str]) -> str:
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    return "\n  ".join([f"{path}: {count} in this study:", *problems])


def _missing_files(study: Study) -> list[str]:
    """Files of weights and presets that are not there, of which Snakemake would say less."""
    named = {name: model.own_weights.file for name, model in study.models.items() if model.own_weights}
    problems = [
        f"models.{name}.weights.file: {file} does not exist; paths start in {Path.cwd()}"
        for name, file in named.items()
        if file and not Path(file).is_file()
    ]
    for name, model in study.models.items():
        if absent := [file for file in model.preset.files if not Path(file).is_file()] if model.preset else []:
            needs = f"a preset is a folder with {', '.join(FILES)}; paths start in {Path.cwd()}"
            problems.append(f"models.{name}.architecture: {absent[0]} does not exist; {needs}")
    for name, ensemble in study.ensembles.items():
        files = [other.predictions for other in ensemble.others if other.predictions]
        problems += [
            f"ensembles.{name}.members: {file} does not exist; paths start in {Path.cwd()}"
            for file in files
            if not Path(file).is_file()
        ]
    return problems


def read_study(path: str | Path) -> Study:
    """The study in a file, with what it extends, and within its limits.

    Raises:
        UserError: the file cannot be read, is not YAML, or says what a study may not; the text lists every problem.
    """
    plain = _whole(Path(path))
    if isinstance(plain.get("models"), dict):
        models, problems = resolve(plain["models"])
        if problems:
            raise UserError(_listed(path, problems))
        plain = plain | {"models": models}
    context = {key: plain[key] for key in ("datasets", "models") if isinstance(plain.get(key), dict)}
    try:
        study = Study.model_validate(plain, context=context)
        if study.limits:
            study = Study.model_validate(limited(study))
    except ValidationError as error:
        raise UserError(_listed(path, describe(error, Study))) from None
    if problems := _missing_files(study):
        raise UserError(_listed(path, problems))
    return study
