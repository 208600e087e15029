from dataclasses import dataclass

import pytest

from utils.errors import UserError
from utils.settings import check, setting


@dataclass
class Some:
    kind: str = setting("plain", "a kind")
    options: dict = setting({}, "options")
    rate: float = setting(0.5, "a rate", 0, 1)
    period: int = setting(0, "a period", 0, 10, only=("kind", ("wave", "saw")))
    name: str | None = setting(None, "a name")


def test_defaults_are_each_instances_own():
    Some().options["a"] = 1
    assert Some().options == {}
    check(Some())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 1.5}, "rate is 1.5, expected 0 to 1"),
        ({"rate": float("nan")}, "rate is nan, expected 0 to 1"),
        ({"rate": None}, "rate has no value"),
        ({"period": 3}, "period is only for kind wave and saw"),
    ],
)
def test_what_does_not_fit_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        check(Some(**values))


def test_what_fits():
    check(Some(kind="wave", period=3, rate=1, name="x"))
