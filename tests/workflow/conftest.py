"""A small whole study, run once in a copy of the project, and ways to ask Snakemake what it would do next."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "config.yaml", "rules", "scripts", "graft", "profiles", "envs", "studies")

STUDY = """\
study: small
seeds: [0, 1]
threads: 1
datasets:
  digits:
    source: digits
    split: {validation: 0.1, test: 0.2, seed: 0}
models:
  simcnn:
    architecture: simcnn
    image_size: 32
    train: {epochs: 2, batch_size: 64, learning_rate: 1e-3}
  probe:
    architecture: efficientnet_lite0
    image_size: 32
    weights: imagenet
    freeze: all
    train: {epochs: 2, batch_size: 64, learning_rate: 3e-3}
  dcnn:
    architecture: dcnn
    image_size: 16
    train: {epochs: 1, batch_size: 128}
    tune:
      trials: 2
      space:
        options.weight_decay: {low: 1e-10, high: 1e-3, log: true}
        train.optimizer.name: {choices: [adam, sgd]}
ensembles:
  everything: {method: soft_vote}
  networks: {method: weighted_vote, temperature: true, members: [simcnn, dcnn]}
"""


def clean_environment() -> dict[str, str]:
    """The environment of a user who has activated the virtual environment and set nothing else."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PATH": path}


class Project:
    """A copy of the project in which studies run."""

    def __init__(self, folder: Path, *, new: bool = True) -> None:
        self.folder = folder
        for name in COPIED if new else ():
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)
        if new:
            (folder / "config.yaml").write_text(STUDY)

    def snakemake(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy; fails with all that it printed, unless ``check`` is off."""
        done = subprocess.run(
            ["snakemake", *arguments],
            cwd=self.folder,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake {' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}")
        return done

    def planned(self, *arguments: str) -> set[str]:
        """The jobs that Snakemake would run now, as ``rule wildcard/values``; target rules left out."""
        text = self.snakemake("--dry-run", "--quiet=host", *arguments).stdout
        jobs = set()
        for block in re.split(r"\n(?=(?:local)?rule )", text)[1:]:
            rule = re.match(r"(?:local)?rule (\w+):", block)
            values = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            assert rule
            named = [pair.split("=")[1] for pair in values[1].split(", ")] if values else []
            jobs.add(" ".join([rule[1], "/".join(named)]).strip())
        return jobs - {"all", "datasets", "downloads"}

    @contextmanager
    def edited(self, path: str, change: Callable[[str], str]) -> Iterator[None]:
        """Change a file for the time of a block; the change has to change something."""
        file = self.folder / path
        before = file.read_text()
        after = change(before)
        assert after != before, f"nothing to change in {path}"
        file.write_text(after)
        try:
            yield
        finally:
            file.write_text(before)


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project in which nothing has run."""
    return Project(tmp_path_factory.mktemp("unfinished"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project in which the small study has run to its report."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.snakemake("--cores", "2")
    return project
