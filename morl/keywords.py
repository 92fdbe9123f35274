"""Values of keywords of an environment: as text for flags, back from it, and their types. Imports no JAX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from morl.errors import UserError
from morl.validation import shown

_WORDS = {"true": True, "false": False, "null": None}
_STARTS = ("[", "{", '"', "'")  # of YAML's lists, mappings and quoted texts


def from_text(name: str, value: Any) -> Any:
    """Return the value of a keyword that the flag parser has left as a text: true, false, null, or YAML.

    YAML is what begins as a list, a mapping or a quoted text does: ``[1, 2]``, ``{a: 1}``, ``"7"`` for the text 7.

    Raises:
        UserError: no valid YAML; the message names the keyword.
    """
    if not isinstance(value, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if not value.startswith(_STARTS):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise UserError(
            f"env_kwargs: {name} {value!r} is no list, mapping or quoted text of YAML: {problem}; allowed: [1, 2] or"
            " {a: 1}"
        ) from None


def to_text(value: Any) -> str:
    """Return a value as the text that the flag parser and :func:`from_text` turn into it again."""
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else str(value)
    if isinstance(value, str):
        plain = value and not value.startswith((*_STARTS, "-")) and value.lower() not in _WORDS and not _number(value)
        return value if plain else json.dumps(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=2**31, sort_keys=False)
    return text.strip()


def check(keywords: Mapping[Any, Any]) -> None:
    """Check the types of keywords: texts, numbers, true, false, null, and lists and mappings of these.

    Raises:
        UserError: a value of another type; the message has its place, such as maze[2].
    """
    for name, value in keywords.items():
        if not isinstance(name, str):
            raise UserError(f"env_kwargs: {name!r} must be the name of a keyword, not {type(name).__name__}")
        _check(name, value)


def _check(place: str, value: Any) -> None:
    if isinstance(value, list | tuple):
        for i, part in enumerate(value):
            _check(f"{place}[{i}]", part)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if not isinstance(name, str | int):
                raise UserError(f"env_kwargs: {place} has the name {name!r}; allowed: texts and whole numbers")
            _check(f"{place}[{name!r}]", part)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise UserError(f"env_kwargs: {place} must be a whole number of at most 64 bits, not {shown(value)}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise UserError(
            f"env_kwargs: {place} must be true or false, a number, a text, a list or a mapping, not"
            f" {type(value).__name__}"
        )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
