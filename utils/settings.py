"""A setting: a field of a dataclass that carries its help text and the values that it allows."""

import dataclasses
from typing import Any

from utils.errors import UserError


def setting(default, text, low=None, high=None, only=None, **more) -> Any:
    """A field of a dataclass.

    Args:
        default: the value where none is given.
        text: what `--help` says of it.
        low, high: the smallest and the largest number; None: it is not checked.
        only: (name, values) of another setting without one of whose values this one may not be given.
        more: what else its metadata hold.
    """
    metadata = {"text": text, "low": low, "high": high, "only": only, **more}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def default_of(field):
    """The default value of a dataclass's field."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def check(settings):
    """Check each setting of a dataclass by itself and against the one that it belongs to.

    Raises:
        UserError: a value is missing, outside its range, or given without the value of another that it belongs to.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        low, high, only = (field.metadata.get(key) for key in ("low", "high", "only"))
        if value is None and default_of(field) is not None:
            raise UserError(f"{field.name} has no value")
        if low is not None and not low <= value <= high:
            raise UserError(f"{field.name} is {value}, expected {low} to {high}")
        if only and value and getattr(settings, only[0]) not in only[1]:
            raise UserError(f"{field.name} is only for {only[0]} {' and '.join(only[1])}")
