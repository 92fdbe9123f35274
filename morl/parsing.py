"""Settings dataclasses from flags and YAML. The parser (tyro) is called in this module only."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
import yaml

from morl import keywords
from morl.errors import UserCodeError, UserError, unknown_name
from morl.flags import check_flags, flags_of
from morl.guard import made_by_parser, made_settings, replaced_settings
from morl.renaming import current_flags, current_names

Options = TypeVar("Options")

_FRAME = re.compile(
    r"[│╭╮╰╯─┌┐└┘]+|^[|+\s]+|[|+\s]+$|-{5,}"
)  # of the parser's messages; ASCII where output is not UTF-8


def parse(
    cls: type[Options],
    args: Sequence[str],
    *,
    prog: str,
    default: Options | None = None,
    by_field: bool = False,
) -> Options:
    """Return a dataclass from flags, one for each field; ``--help`` prints and exits.

    Args:
        cls: the dataclass; the fields of nested dataclasses are flags of their own.
        args: the flags.
        prog: name of the command in help texts.
        default: values of flags that are not given.
        by_field: name settings in errors as fields, not as flags.

    Raises:
        UserError: a wrong flag; the message is one line that names it and what is allowed.
    """
    errors = io.StringIO()
    args = check_flags(current_flags(args, cls), cls, prog=prog, required=default is None, by_field=by_field)
    try:
        with contextlib.redirect_stderr(errors), made_by_parser(cls):
            parsed: Options = tyro.cli(  # type: ignore[assignment]  # its overload for a default that may be None
                cls, args=args, prog=prog, default=default, config=(tyro.conf.OmitArgPrefixes,)
            )
        return _with_keywords(parsed)
    except SystemExit as stop:
        if not stop.code:
            raise
        cause: BaseException | None = stop
        while cause is not None and not isinstance(cause, UserError):  # of a dataclass's own checks
            cause = cause.__context__
        message = _one_line(errors.getvalue()) if cause is None else str(cause)
    except UserCodeError:
        raise
    except UserError as error:
        message = str(error)
    raise UserError(message if by_field else _by_flag(message, cls))


def _by_flag(message: str, cls: type[Any]) -> str:
    """Return an error that begins with the name of a field with the name of its flag instead."""
    field, _, rest = message.partition(" ")
    name = f"--{field.replace('_', '-')}"
    return f"{name} {rest}" if name in (flags_of(cls) or ()) else message


def _with_keywords(settings: Options) -> Options:
    """Return settings with the values of their mappings, which hold keywords of environments, read from text."""
    changed: dict[str, Any] = {}
    for name, value in field_values(settings).items():
        if dataclasses.is_dataclass(value):
            changed[name] = _with_keywords(value)
        elif isinstance(value, dict):
            changed[name] = {key: keywords.from_text(key, text) for key, text in value.items()}
    made: Options = replaced_settings(settings, **changed) if changed else settings
    return made


def _one_line(box: str) -> str:
    """Return the parser's boxed message as one line, without the pointer to the help at its end."""
    lines = [_FRAME.sub(" ", line).strip() for line in box.splitlines()]
    title, *rest = [line for line in lines if line]
    text = " ".join(rest) or title
    text = re.split(r"For full helptext", text)[0]
    text = re.sub(r"Argument helptext:", "; it is", text)
    text = re.sub(r"Perhaps you meant:", "; did you mean", text)
    return " ".join(text.split()).replace(" ;", ";").rstrip(" ;")


def field_names(cls: type[Any]) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [field.name for field in dataclasses.fields(cls)]


def field_values(settings: Any) -> dict[str, Any]:
    """Return the fields of a settings dataclass by name."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def from_mapping(cls: type[Options], values: Mapping[str, Any], *, source: str, also: Sequence[str] = ()) -> Options:
    """Return a flat settings dataclass from names and plain values, under the same rules as for flags.

    Args:
        cls: the dataclass.
        values: values by field name, or by an old name of a field (:mod:`morl.renaming`).
        source: where they come from, for errors.
        also: names that are valid there besides the fields, for the suggestion after a misspelt one.

    Raises:
        UserError: an unknown name, or a value that its flag would not take; the message starts with ``source``.
    """
    args = []
    for name, value in current_names(values, cls, source=source).items():
        if name not in field_names(cls):
            raise UserError(f"{source}: {unknown_name('setting', name, [*field_names(cls), *also])}")
        args += _flag(cls, name, value, f"{source}: {name}")
    try:
        return parse(cls, args, prog=source, by_field=True)
    except UserCodeError:
        raise
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def plain(value: Any) -> Any:
    """Return the value of a setting as YAML's safe dumper takes it: lists for tuples, texts for paths."""
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, Mapping):
        return {name: plain(x) for name, x in value.items()}
    return str(value) if isinstance(value, Path) else value


def check_plain(settings: Any) -> None:
    """Check that settings can be written to ``config.yaml``, from which a run is read back and resumed.

    Raises:
        UserError: a field that YAML's safe dumper does not take; the message names it.
    """
    for name, value in field_values(settings).items():
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        try:
            yaml.safe_dump(plain(dataclasses.asdict(value) if nested else value))
        except Exception as error:  # any kind: it is a user's own object
            what = f"settings {type(settings).__name__}: {name} is a {type(value).__name__}"
            allowed = "numbers, texts, true, false, none, and lists and mappings of these"
            raise UserError(f"{what}, which config.yaml cannot hold; allowed: {allowed}") from error


def plain_fields(settings: Any) -> dict[str, Any]:
    """Return the fields of a settings dataclass by name, each as YAML's safe dumper takes it."""
    return {name: plain(value) for name, value in dataclasses.asdict(settings).items()}


def to_flags(cls: type[Any], values: Mapping[str, Any], *, source: str) -> list[str]:
    """Return the flags for those values of a flat settings dataclass that differ from the defaults.

    Raises:
        UserError: as for :func:`from_mapping`.
    """
    settings, default = from_mapping(cls, values, source=source), made_settings(cls)
    values = current_names(values, cls, source=source)
    flags: list[str] = []
    for name in values:
        value = getattr(settings, name)
        if value != getattr(default, name):
            flags += _flag(cls, name, value, f"{source}: {name}")
    return flags


def _flag(cls: type[Any], name: str, value: Any, where: str) -> list[str]:
    """Return a setting as a flag and the arguments that follow it."""
    mappings = {field.name for field in dataclasses.fields(cls) if field.default_factory is dict}
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list | tuple):
        return [flag, *(_text(item, where) for item in value)]
    if isinstance(value, Mapping) and name in mappings:
        keywords.check(value)
        return [flag, *(text for key, item in value.items() for text in (_text(key, where), keywords.to_text(item)))]
    return [f"{flag}={_text(value, where)}"]


def _text(value: Any, where: str) -> str:
    if isinstance(value, str) and value.startswith("-"):  # would be taken for a flag
        raise UserError(f"{where} must not start with a dash, as {value!r} does")
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    raise UserError(f"{where} must be a number, a text or a list of them, not {type(value).__name__}")
