import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graft.registry import parts

BEGIN = "from graft.registry import part\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Makes an importable package out of the text of its modules; returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(name: str, **modules: str) -> str:
        (tmp_path / name).mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (tmp_path / name / f"{module}.py").write_text(text)
        return name

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_new_file_is_a_new_part(package: Callable[..., str]) -> None:
    name = package(
        "zoo_found",
        zebra=f"{BEGIN}@part('zebra')\ndef z(): return 'stripes'\n",
        ant=f"{BEGIN}@part('ant', legs=6)\ndef a(): return 'small'\n",
        helper="VALUE = 1\n",
    )
    found = parts(name)
    assert list(found) == ["ant", "zebra"]
    assert found["ant"].facts == {"legs": 6}
    assert found["zebra"].module == "zoo_found.zebra"
    assert found["zebra"].function() == "stripes"


def test_a_file_may_hold_several_parts(package: Callable[..., str]) -> None:
    text = f"{BEGIN}@part('a')\ndef a(): pass\n@part('b')\ndef b(): pass\n"
    assert {part.module for part in parts(package("zoo_pair", both=text)).values()} == {"zoo_pair.both"}


def test_a_name_has_one_meaning(package: Callable[..., str]) -> None:
    text = f"{BEGIN}@part('cat')\ndef cat(): pass\n"
    with pytest.raises(ValueError, match=r"^'cat' is defined in zoo_twice\.one and in zoo_twice\.two$"):
        parts(package("zoo_twice", one=text, two=text))


def test_the_same_name_in_two_packages_is_two_parts(package: Callable[..., str]) -> None:
    text = f"{BEGIN}@part('cat')\ndef cat(): return __name__\n"
    one, two = package("zoo_one", cats=text), package("zoo_two", cats=text)
    assert (parts(one)["cat"].function(), parts(two)["cat"].function()) == ("zoo_one.cats", "zoo_two.cats")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("graft.models", {"dcnn", "efficientnet_lite0", "simcnn", "toy_resnet"}),
        ("graft.sources", {"digits"}),
        ("graft.ensembles", {"soft_vote"}),
    ],
)
def test_the_parts_of_this_project_are_found(name: str, known: set[str]) -> None:
    assert known <= parts(name).keys()
