"""Flags checked in plain words before the parser reads them, which would speak of types.

The kinds of settings that are known here are whole numbers, numbers, texts, paths, choices, switches, and rows of
these. Flags of any other kind, of an agent of somebody else's for example, are left to the parser.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from morl.errors import UserError
from morl.validation import whole_number

WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
}
HELP = ("-h", "--help")


@dataclass(frozen=True)
class Form:
    """Form of a flag's values: ``least`` to ``most`` of one kind, which is a type or a tuple of choices."""

    kind: Any
    least: int = 1
    most: float = 1

    def __str__(self) -> str:
        if isinstance(self.kind, tuple):
            one = many = f"one of {', '.join(self.kind)}"
        else:
            one, many = WORDS[self.kind]
        if self.most == 1:
            return one
        return f"{self.least} {many}" if self.least == self.most else many

    def read(self, text: str) -> str | None:
        """Return a value as the parser takes it, or None if it is none of this kind."""
        if isinstance(self.kind, tuple):
            return text if text in self.kind else None
        if self.kind in (str, Path):
            return text or None
        if self.kind is int:
            return None if whole_number(text) is None else _whole(text)
        try:
            float(text)
        except ValueError:
            return None
        return text


@dataclass(frozen=True)
class Flag:
    """Flag or positional argument of a settings dataclass.

    Attributes:
        name: of the field.
        shown: as a user writes it.
        forms: the forms its values can have; none of a switch, None if they are not known here.
        positional, required: what the words say.
        optional: ``None`` is a value too.
        pairs: values are names and values in turn.
        whole: of the numbers and texts in its type there are whole numbers only.
    """

    name: str
    shown: str
    forms: tuple[Form, ...] | None
    positional: bool = False
    required: bool = False
    optional: bool = False
    pairs: bool = False
    whole: bool = False

    @property
    def most(self) -> float:
        return math.inf if self.forms is None else max((form.most for form in self.forms), default=0)

    @property
    def numeric(self) -> bool:
        return self.forms is not None and any(form.kind in (int, float) for form in self.forms)

    def __str__(self) -> str:
        """Return the values it takes in words."""
        if self.pairs:
            return "a name and a value in turn"
        return " or ".join(map(str, self.forms or ())) or ("no value" if self.forms == () else "a value")


def flags_of(cls: type[Any]) -> dict[str, Flag] | None:
    """Return the flags of a settings dataclass and of those that are its fields, by every name they can be given by.

    None if not all are known from the fields: those of a choice between dataclasses, or of a field that has a
    constructor of its own, are not.
    """
    found, all_known = _known_flags(cls)
    return found if all_known else None


def _known_flags(cls: type[Any]) -> tuple[dict[str, Flag], bool]:
    """Return the flags that are known from the fields, see :func:`flags_of`, and whether these are all."""
    found: dict[str, Flag] = {}
    all_known = True
    hints = get_type_hints(cls, include_extras=True)
    for field in (field for field in dataclasses.fields(cls) if field.init):
        hint = hints[field.name]
        hint, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        options = tuple(option for option in _options(hint) if option is not type(None))
        if any(getattr(note, "constructor_factory", None) for note in notes):
            all_known = False
        elif not any(map(dataclasses.is_dataclass, options)):
            found |= _named(field, options, notes, optional=type(None) in _options(hint))
        elif options == (hint,):
            nested, nested_known = _known_flags(hint)
            found |= nested
            all_known = all_known and nested_known
        else:
            all_known = False
    return found, all_known


def _named(
    field: dataclasses.Field[Any], options: Sequence[Any], notes: Sequence[Any], optional: bool
) -> dict[str, Flag]:
    """Return the flag of a field by its names.

    Args:
        field: of the dataclass.
        options: types that its value can have, besides None.
        notes: annotations of its type, the parser's own.
        optional: it can be None.
    """
    if tyro.conf.UseAppendAction in notes:  # each time the flag is given it adds one item
        options = get_args(options[0])[:1]
    about: dict[str, Any] = {"metavar": field.name.upper(), "name": field.name, "aliases": ()}
    for note in notes:
        about |= {key: value for key in about if (value := getattr(note, key, None))}
    positional = tyro.conf.Positional in notes
    dashed = f"--{about['name'].replace('_', '-')}"
    flag = Flag(
        field.name,
        about["metavar"].partition(" ")[0] if positional else dashed,
        _forms(options),
        positional,
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        optional,
        get_origin(options[0]) is dict,
        _is_whole(options),
    )
    names = [dashed, *about["aliases"], *([f"--no-{dashed[2:]}"] if flag.forms == () else [])]
    return dict.fromkeys(names, flag)


def _is_whole(hints: Sequence[Any]) -> bool:
    """Return whether types are made of whole numbers, and of no other numbers or texts."""
    kinds = list(hints)
    for hint in kinds:  # grows
        kinds += get_args(hint)
    return int in kinds and float not in kinds and str not in kinds


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _forms(options: Sequence[Any]) -> tuple[Form, ...] | None:
    """Return the forms of the values of a type or of several; None for one that is not known here."""
    if tuple(options) == (bool,):
        return ()
    forms = []
    for option in options:
        items = get_args(option)
        if option in WORDS:
            forms.append(Form(option))
        elif get_origin(option) is Literal:
            forms.append(Form(tuple(map(str, items))))
        elif get_origin(option) is tuple and items[-1:] == (...,) and items[0] in WORDS:
            forms.append(Form(items[0], 0, math.inf))
        elif get_origin(option) is tuple and len(set(items)) == 1 and items[0] in WORDS:
            forms.append(Form(items[0], len(items), len(items)))
        else:
            return None
    return tuple(forms)


def check_flags(
    args: Sequence[str], cls: type[Any], *, prog: str, required: bool = True, by_field: bool = False
) -> list[str]:
    """Return the arguments in the form the parser takes: positional ones first, numbers one by one without commas.

    Args:
        args: as they are given.
        cls: settings dataclass whose fields are the flags.
        prog: name of the command.
        required: fields without a default have to be given.
        by_field: name a flag in errors as its field.

    Returns:
        the same arguments where one asks for help; with whole numbers as the parser takes them, and else the same,
        where not all flags are known from the fields.

    Raises:
        UserError: an unknown flag, with the nearest ones; too few or too many values, or one of another kind.
    """
    flags, all_known = _known_flags(cls)
    if any(arg in HELP or arg.startswith("--tyro-") for arg in args):
        return list(args)
    if not all_known:
        return _with_whole_numbers(args, flags)
    positionals = [flag for flag in dict.fromkeys(flags.values()) if flag.positional]
    given: list[str] = []
    before: list[str] = []
    seen: set[str] = set()
    rest, full = list(args), ""
    while rest:
        arg = rest.pop(0)
        if not _is_flag(arg):
            if len(before) >= sum(flag.most for flag in positionals):
                after = full or (f" after {before[-1]}" if before else "")
                raise UserError(f"unexpected argument {arg!r}{after}")
            before.append(arg)
            continue
        name, equals, value = arg.partition("=")
        name = name.replace("_", "-")
        flag = flags.get(name)
        if flag is None or flag.positional:
            raise _unknown(name, [n for n, known in flags.items() if not known.positional], prog)
        label = flag.name if by_field else name
        seen.add(flag.name)
        open_places = 1 if not before and positionals else 0
        values = _values(flag, value if equals else None, rest, open_places)
        if not values and flag.forms != () and not by_field:  # a file can hold an empty list
            raise UserError(f"{label} needs a value: {flag}")
        read = _read(flag, label, values)
        # attached it can begin with a dash
        given += [f"{name}={read[0]}"] if equals and len(values) == 1 == len(read) else [name, *read]
        full = f" after {' '.join([label, *values])}: {label} takes {flag}" if len(values) == flag.most else ""
    for flag in positionals:
        if before:
            before = _read(flag, flag.shown, before)
        elif flag.required and required:
            raise UserError(f"{flag.shown} is missing: {prog} {flag.shown}")
    for flag in dict.fromkeys(flags.values()):
        if required and flag.required and not flag.positional and flag.name not in seen:
            raise UserError(f"{flag.shown} is missing: give {flag}")
    return [*before, *given]


def _with_whole_numbers(args: Sequence[str], flags: Mapping[str, Flag]) -> list[str]:
    """Return arguments with the values of flags of whole numbers as the parser takes them."""
    found: list[str] = []
    flag: Flag | None = None
    for arg in args:
        name, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
        if name:
            flag = flags.get(name.replace("_", "-"))
        found.append(f"{name}{equals}{_whole(value)}" if flag and flag.whole else arg)
    return found


def _whole(text: str) -> str:
    """Return a whole number as the parser takes it, 1000000 for 1e6 or 1000000.0; another text as it is."""
    number = whole_number(text)
    return text if number is None else str(number)


def _is_flag(arg: str) -> bool:
    """Return whether an argument is a flag: it begins with a dash and is not a number, or numbers with commas."""
    return arg.startswith("-") and len(arg) > 1 and not _is_number(arg)


def _is_number(text: str) -> bool:
    try:
        return bool([float(part) for part in text.split(",") if part.strip()])
    except ValueError:
        return False


def _values(flag: Flag, attached: str | None, rest: list[str], open_places: int) -> list[str]:
    """Take a flag's values from the rest of the arguments, up to the next flag.

    After numbers, what is no number is left for a positional argument that is still missing; after an attached value
    (``=``) it always is.
    """
    values = [] if attached is None else [attached]
    while rest and len(values) < flag.most and not _is_flag(rest[0]):
        if attached is not None and not (flag.numeric and _is_number(rest[0])):
            break
        if flag.numeric and values and open_places and not _is_number(rest[0]):
            break
        values.append(rest.pop(0))
    return values


def _read(flag: Flag, label: str, values: Sequence[str]) -> list[str]:
    """Return the values of a flag as the parser takes them.

    Raises:
        UserError: too few or too many, or one of another kind.
    """
    forms = flag.forms or ()
    if flag.forms is None:
        if flag.pairs and len(values) % 2:
            raise UserError(f"{label} takes {flag}, and {values[-1]!r} has no value")
        return [_whole(value) for value in values] if flag.whole else list(values)
    if not forms:
        if values:
            raise UserError(f"{label} takes no value, not {values[0]!r}")
        return []
    if flag.optional and [value.lower() for value in values] == ["none"]:
        return ["None"]
    if flag.numeric and flag.most > 1:
        values = [part for value in values for part in value.replace(",", " ").split()]
    if not values and min(form.least for form in forms):
        raise UserError(f"{label} needs a value: {flag}")
    for form in forms:
        read = [form.read(value) for value in values]
        if form.least <= len(read) <= form.most and None not in read:
            return [text for text in read if text is not None]
    for value in values:
        if all(form.read(value) is None for form in forms):
            raise _wrong(flag, label, value)
    raise UserError(f"{label} must be {flag}, not {len(values)}")


def _wrong(flag: Flag, label: str, value: str) -> UserError:
    """Return the error for a value of another kind, with the nearest choice."""
    choices = [choice for form in flag.forms or () if isinstance(form.kind, tuple) for choice in form.kind]
    near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    if not value.strip():
        return UserError(f"{label} must not be empty: it is {flag}")
    return UserError(f"{label} must be {flag}, not {value!r}{f'; did you mean {near[0]}?' if near else ''}")


def _unknown(name: str, valid: Sequence[str], prog: str) -> UserError:
    bare = {flag.lstrip("-"): flag for flag in valid}
    near = [bare[found] for found in difflib.get_close_matches(name.lstrip("-"), bare, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"see {prog} --help"
    return UserError(f"unknown flag {name!r}; {hint}")
