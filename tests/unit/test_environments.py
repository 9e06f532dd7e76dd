"""The conda environments, the lock file and pyproject.toml name the same software."""

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
# What conda-forge calls otherwise than the Python package index.
CONDA_NAMES = {"matplotlib-base": "matplotlib", "ruamel.yaml": "ruamel-yaml"}


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_environment_has_the_locked_versions(path: Path) -> None:
    dependencies = YAML(typ="safe").load(path)["dependencies"]
    pinned = dict(item.split("=", 1) for item in dependencies if isinstance(item, str) and "=" in item)
    assert pinned.pop("python") == "3.11"
    pinned |= dict(item.split("==") for group in dependencies if isinstance(group, dict) for item in group["pip"])
    versions = locked()
    assert len(pinned) > 3
    assert {name: versions[CONDA_NAMES.get(name, name)] for name in pinned} == pinned


def test_every_rule_names_an_environment_that_exists() -> None:
    named = set(re.findall(r"envs/(\w+)\.yaml", "".join(p.read_text() for p in (ROOT / "rules").glob("*.smk"))))
    assert named == {path.stem for path in (ROOT / "envs").glob("*.yaml")}


def test_lock_file_pins_every_dependency_with_hashes_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["cpu"],
        *project["optional-dependencies"]["dev"],
    ]
    names = {re.match(r"[A-Za-z0-9.-]+", item)[0].lower().replace(".", "-") for item in wanted}
    assert names <= set(locked())
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
