"""From flags and YAML to settings dataclasses. The one file that knows the parser."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tyro

from morl.errors import UserError, unknown_name

Options = TypeVar("Options")

_FRAME = re.compile(
    r"[│╭╮╰╯─┌┐└┘]+|^[|+\s]+|[|+\s]+$|-{5,}"
)  # of the parser's messages; ASCII where output is not UTF-8


def parse(cls: type[Options], args: Sequence[str], *, prog: str, default: Options | None = None) -> Options:
    """A dataclass from flags, one for each field (nested dataclasses are flattened); ``--help`` prints and exits.

    Raises:
        UserError: one line saying which flag was wrong and what is allowed.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed: Options = tyro.cli(  # type: ignore[assignment]  # its overload for a default that may be None
                cls, args=list(args), prog=prog, default=default, config=(tyro.conf.OmitArgPrefixes,)
            )
            return parsed
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(errors.getvalue())) from None


def _one_line(box: str) -> str:
    """The parser's boxed message as one line, without the pointer to the help at its end."""
    lines = [_FRAME.sub(" ", line).strip() for line in box.splitlines()]
    title, *rest = [line for line in lines if line]
    text = " ".join(rest) or title
    text = re.split(r"For full helptext", text)[0]
    text = re.sub(r"Argument helptext:", "; it is", text)
    text = re.sub(r"Perhaps you meant:", "; did you mean", text)
    return " ".join(text.split()).replace(" ;", ";").rstrip(" ;")


def field_names(cls: type[Any]) -> list[str]:
    """Names of the fields of a dataclass."""
    return [field.name for field in dataclasses.fields(cls)]


def from_mapping(cls: type[Options], values: Mapping[str, Any], *, source: str, also: Sequence[str] = ()) -> Options:
    """A flat settings dataclass from names and plain values, held to the same rules as flags.

    Args:
        cls: the dataclass.
        values: by field name.
        source: where they come from, for errors.
        also: names that are valid there besides the fields, for the hint at a misspelt one.

    Raises:
        UserError: unknown name, or a value that its flag would not take; the message starts with ``source``.
    """
    mappings = {field.name for field in dataclasses.fields(cls) if field.default_factory is dict}  # type: ignore[arg-type]
    args = []
    for name, value in values.items():
        if name not in field_names(cls):
            raise UserError(f"{source}: {unknown_name('setting', name, [*field_names(cls), *also])}")
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            args.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, list | tuple):
            args += [flag, *(_text(item, f"{source}: {name}") for item in value)]
        elif isinstance(value, Mapping) and name in mappings:
            pairs = [item for pair in value.items() for item in pair]
            args += [flag, *(_text(item, f"{source}: {name}") for item in pairs)]
        else:
            args.append(f"{flag}={_text(value, f'{source}: {name}')}")
    try:
        return parse(cls, args, prog=source)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _text(value: Any, where: str) -> str:
    if isinstance(value, str) and value.startswith("-"):  # would be taken for a flag
        raise UserError(f"{where} must not start with a dash, as {value!r} does")
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    raise UserError(f"{where} must be a number, a text or a list of them, not {type(value).__name__}")
