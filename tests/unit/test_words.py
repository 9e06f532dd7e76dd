import pytest

from graft.words import nearest


@pytest.mark.parametrize(
    ("word", "known", "end"),
    [
        ("simcn", ["dcnn", "simcnn"], "; did you mean 'simcnn'?"),
        ("xyz", ["dcnn", "simcnn"], "; allowed: dcnn, simcnn"),
        ("xyz", [], "; there are none"),
        (3, ["3", "4"], "; did you mean '3'?"),
        ("x", [1, None], "; allowed: 1, None"),
    ],
)
def test_the_nearest_word_or_all_of_them(word: object, known: list[str], end: str) -> None:
    assert nearest(word, known) == end
