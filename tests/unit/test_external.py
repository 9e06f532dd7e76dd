from pathlib import Path

import numpy as np
import pytest

from graft.errors import UserError
from graft.external import load_external
from graft.predictions import save_predictions

GOOD = """sample_id,split,label,cat,dog
a1,validation,cat,0.9,0.1
007,test,dog,0.25,0.75
NA,test,cat,1,0
"""


def test_a_table_of_probabilities_is_read_and_can_be_saved_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(GOOD)
    read = load_external(path)
    assert read.classes == ["cat", "dog"]
    test = read.splits["test"]
    assert test.sample_id.tolist() == ["007", "NA"]
    assert test.label.tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(test.log_prob), [[0.25, 0.75], [1, 0]], atol=1e-7)
    save_predictions(tmp_path / "same.npz", read)
    again = load_external(tmp_path / "same.npz")
    np.testing.assert_array_equal(again.splits["test"].log_prob, test.log_prob)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "sample_id,split",
            "id,split",
            "its columns must be sample_id, split, label, and the probability of each class",
        ),
        (",cat,dog", ",cat", "its columns must be"),
        ("a1,validation", "a1,valdiation", "line 2: split: 'valdiation' is not allowed; did you mean 'validation'?"),
        ("test,dog", "test,dgo", "line 3: label: 'dgo' is not allowed; did you mean 'dog'?"),
        ("0.9,0.1", "0.9,", "a probability of the validation split is no number"),
        ("0.9,0.1", "nan,0.1", "validation split"),
        ("0.9,0.1", "1.9,-0.9", "a probability of the validation split is not between 0 and 1"),
        ("0.9,0.1", "0.9,0.9", "probabilities of the validation split are not finite or do not sum to one"),
        ("NA,test", "007,test", "the test split names a sample twice"),
    ],
)
def test_a_table_that_is_wrong_gives_one_line_with_its_path(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_external(path)
    assert str(path) in str(error.value) and said in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(UserError, match=r"other\.csv"):
        load_external(path)
