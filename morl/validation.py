"""Checks and conversions that the settings dataclasses share."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import types
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from morl.errors import UserError, unknown_name
from morl.guard import made_settings, replaced_settings

MOST_DIGITS = 30  # of a whole number written with an exponent

MOST = 2**31 - 1  # largest count: an int32, which JAX counts in
MOST_STEPS = 2**53  # largest number of steps: a whole number that a float holds exactly
LARGEST = 3.4e38  # largest number: a float32, which JAX computes in


def check_range(
    config: Any, name: str, *, low: float, high: float = math.inf, open_low: bool = False, open_high: bool = False
) -> None:
    """Check that a field is a finite number in a range.

    Args:
        config: the settings.
        name: name of the field.
        low, high: ends of the range.
        open_low, open_high: whether the end itself is left out.

    Raises:
        UserError: another value; the message names the field and its range.
    """
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{name} must be a number, not {value!r}")
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below and abs(value) <= LARGEST):
        lower = f"{'greater than' if open_low else 'at least'} {low}"
        upper = f" and {'below' if open_high else 'at most'} {high}"
        if high in (math.inf, MOST, MOST_STEPS) and not value > low:  # a bound of no interest here
            upper = ""
        elif math.isinf(high):
            upper = f" and at most {LARGEST:g}" if math.isfinite(value) else " and finite"
        raise UserError(f"{name} must be {lower}{upper}, not {shown(value)}")


def schedule_length(steps: int) -> float:
    """Return the length of a schedule that an int32 count of steps is compared with: a float if it is larger."""
    return steps if steps <= MOST else float(steps)


def shown(value: Any) -> str:
    """Return a value as it was given if that is short, else what it is: a number of so many digits, or its type."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of about {value.bit_length() * 0.30103:.0f} digits"
    try:
        text = repr(value)
    except ValueError:  # it holds a number of too many digits
        text = "\n"
    return text if len(text) <= 60 and "\n" not in text else f"a value of type {type(value).__name__}"


def check_widths(config: Any, name: str) -> None:
    """Check that a field is one or more widths of layers.

    Raises:
        UserError: none, or one that is no whole number of at least 1, or too large.
    """
    widths = getattr(config, name)
    whole = isinstance(widths, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in widths)
    if not whole or not widths or min(widths) < 1:
        raise UserError(f"{name} must be one or more widths of at least 1, not {widths}")
    if max(widths) > MOST:
        raise UserError(f"{name} must be widths of at most {MOST}, not {shown(max(widths))}")


def check_integer(config: Any, name: str, *, low: int, high: int = MOST) -> None:
    """Check that a field is a whole number from ``low`` to ``high``, both included.

    Raises:
        UserError: another value; the message names the field and its range.
    """
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{name} must be a whole number, not {value!r}")
    check_range(config, name, low=low, high=high)


def check_scales(scales: Sequence[float] | None) -> None:
    """Check the setting ``objective_scales``, factors of the rewards, where it is given.

    Raises:
        UserError: none, or one that is not above 0 and finite.
    """
    if scales is not None and not (scales and all(0 < x <= LARGEST for x in scales)):
        raise UserError(f"objective_scales must be greater than 0 and finite, not {scales}")


def check_number_of_scales(scales: Sequence[float] | None, num_objectives: int) -> None:
    """Check that the setting ``objective_scales`` is one number or one an objective, where it is given.

    Raises:
        UserError: another number of them.
    """
    if scales is not None and len(scales) not in (1, num_objectives):
        raise UserError(f"objective_scales must be one number or {num_objectives}, one an objective, not {len(scales)}")


def check_discount(gamma: float) -> float:
    """Return the discount ``gamma`` as a float.

    Raises:
        UserError: not a number from 0 to 1.
    """
    given: object = gamma
    if isinstance(given, bool) or not isinstance(given, Real) or not 0 <= gamma <= 1:
        raise UserError(f"gamma must be at least 0 and at most 1, not {gamma}")
    return float(gamma)


# --- Conversion by the types of the fields ----------------------------------------------------------------------------


def convert_fields(settings: Any) -> None:
    """Convert the fields of a settings dataclass to their declared types, in place, as flags are converted.

    A text is taken for a path or a number, a number without a fraction for a whole one, NumPy's numbers for Python's,
    and a list, an array, or a text with commas or blanks for a tuple. Fields of types that no flag has stay as they
    are. Called first in ``__post_init__``; a second call changes nothing.

    Raises:
        UserError: a value that its field cannot take; the message names the field and what is allowed.
    """
    hints = field_types(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        converted = converted_value(hints.get(field.name, Any), value, field.name)
        if converted is not value:
            object.__setattr__(settings, field.name, converted)  # also of frozen ones, which are being made


def changed(settings: Any, cls: type[Any], changes: Mapping[str, Any]) -> Any:
    """Return settings with changes by name, converted; the caller's own object is left as it is.

    Args:
        settings: an instance of ``cls``, or None for the defaults.
        cls: a settings dataclass.
        changes: values by name of field.

    Raises:
        UserError: an unknown name, or a value that its field cannot take.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    for name in changes:
        if name not in names:
            raise unknown_name("setting", name, names)
    if settings is None:
        settings = made_settings(cls, **changes)
    elif changes and isinstance(settings, cls):
        settings = replaced_settings(settings, **changes)
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = copy.copy(settings)
        convert_fields(settings)  # of a class of a user's, which need not do so itself
    return settings


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name; none where they cannot be read, as of local classes."""
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return {}
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def converted_value(hint: Any, value: Any, name: str) -> Any:
    """Return a value as the type ``hint`` of the field ``name`` takes it.

    Raises:
        UserError: it does not take it.
    """
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of NumPy or JAX
        value = value.item()
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(choices, value, name)
    if origin is Literal:
        return _literal(choices, value, name)
    if origin is tuple:
        return _tuple(choices, value, name)
    if origin is dict or hint is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{name} must be a mapping of names to values, not {shown(value)}")
        return {key: item.item() if getattr(item, "ndim", None) == 0 else item for key, item in value.items()}
    convert = {bool: _bool, int: _whole, float: _float, str: _str, Path: _path}.get(hint)
    return convert(value, name) if convert else value


def _one_of(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    """Return a value as the first of several types that takes it."""
    if value is None and type(None) in choices:
        return None
    kinds = [choice for choice in choices if choice is not type(None)]
    reasons = []
    for kind in kinds:
        try:
            return converted_value(kind, value, name)
        except UserError as error:
            reasons.append(str(error).partition(", not ")[0].removeprefix(f"{name} must be "))
            if len(kinds) == 1:
                raise
    raise UserError(f"{name} must be {' or '.join(reasons)}, not {shown(value)}")


def _literal(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
        if isinstance(value, str) and isinstance(choice, str) and choice == str(value):  # NumPy's text
            return choice
    if not isinstance(value, str):
        raise UserError(f"{name} must be {' or '.join(map(str, choices))}, not {shown(value)}")
    raise unknown_name(name, value, map(str, choices))


def _tuple(choices: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    """Return a value as a tuple; a single item stands for a tuple of one."""
    kind, number = choices[0] if choices else Any, None if choices[-1:] == (Ellipsis,) else len(choices)
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    elif not isinstance(value, Iterable):
        value = (value,)
    elif isinstance(value, Mapping | set | frozenset):
        raise UserError(f"{name} must be a list, in order, not {shown(value)}")
    items = list(value)
    if number is not None and len(items) != number:
        raise UserError(f"{name} must be a list of {number} values, not {shown(value)}")
    kinds = [kind] * len(items) if number is None else choices
    found = tuple(converted_value(each, item, f"each of {name}") for each, item in zip(kinds, items, strict=True))
    return value if isinstance(value, tuple) and _same(value, found) else found


def _same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def _bool(value: Any, name: str) -> bool:
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise UserError(f"{name} must be true or false, not {shown(value)}")
    return value


def _whole(value: Any, name: str) -> int:
    if isinstance(value, str):
        number = whole_number(value)
    else:
        number = int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None
    if number is None or isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, not {shown(value)}")
    return value if type(value) is int else number


def whole_number(text: str) -> int | None:
    """Return the whole number that a text says, such as 1000, 1_000, 1e3 or 1000.0; None if it says none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > MOST_DIGITS or number % 1:
        return None
    return int(number)


def _float(value: Any, name: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return value if type(value) is float else float(value)
    except ValueError:
        raise UserError(f"{name} must be a number, not {shown(value)}") from None
    except OverflowError:
        raise UserError(f"{name} must be a number that a float holds, not {shown(value)}") from None


def _str(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {shown(value)}")
    return value if type(value) is str else str(value)


def _path(value: Any, name: str) -> Path:
    if isinstance(value, Path):
        return value
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        raise UserError(f"{name} must be a path, not {shown(value)}")
    return Path(path)
