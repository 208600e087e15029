import json

import pytest

from utils import errors
from utils.errors import UserError


@pytest.mark.parametrize(
    "problem",
    [KeyError("size"), TypeError("a\nb"), json.JSONDecodeError("x", "y", 0), RecursionError(), OSError("cut")],
)
def test_whatever_is_wrong_with_a_file_becomes_one_line_with_its_path(problem):
    message = r"^run\.json cannot be read \(\w+: .*\); copy it again$"
    with pytest.raises(UserError, match=message) as caught, errors.unreadable("run.json", "copy it again"):
        raise problem
    assert caught.value.__cause__ is problem  # where it comes from stays to be seen


@pytest.mark.parametrize("problem", [UserError("mine"), FileNotFoundError(2, "gone", "other.csv"), KeyboardInterrupt()])
def test_what_names_its_file_itself_passes_as_it_is(problem):
    with pytest.raises(type(problem)) as caught, errors.unreadable("run.json", "copy it again"):
        raise problem
    assert caught.value is problem
