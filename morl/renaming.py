"""Old names of settings. A settings dataclass declares them, and they are read wherever its names are.

The declaration is ``RENAMED: ClassVar[Mapping[str, str]]``, from old name to new. Files of settings, flags, search
spaces and notes of checkpoints may have either; flags are remarked upon. Imports neither JAX nor the parser.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from morl.errors import UserError


def old_names(*classes: type[Any]) -> dict[str, str]:
    """Return the new name of each old one of settings dataclasses and of those that are their fields."""
    names: dict[str, str] = {}
    for cls in classes:
        own = {field.name for field in dataclasses.fields(cls)}
        names |= {old: new for old, new in getattr(cls, "RENAMED", {}).items() if old not in own}
        nested = [hint for name, hint in get_type_hints(cls).items() if name in own]
        names |= old_names(*(hint for hint in nested if dataclasses.is_dataclass(hint) and isinstance(hint, type)))
    return names


def current_names(values: Mapping[str, Any], *classes: type[Any], source: str) -> dict[str, Any]:
    """Return settings under the names they have now, in the same order.

    Args:
        values: by name, old or new.
        classes: settings dataclasses that say which are old.
        source: where the values come from, for the error.

    Raises:
        UserError: a setting is there under both names.
    """
    names = old_names(*classes)
    for old, new in names.items():
        if old in values and new in values:
            raise UserError(f"{source}: {old} is the old name of {new}; give one of the two")
    return {names.get(name, name): value for name, value in values.items()}


def current_flags(flags: Sequence[str], *classes: type[Any]) -> list[str]:
    """Return flags under the names they have now, with a note on stderr for each old one.

    Raises:
        UserError: a flag is there under both names.
    """
    names = {_dashed(old): _dashed(new) for old, new in old_names(*classes).items()}
    bare = [_dashed(flag.partition("=")[0].removeprefix("--").removeprefix("no-")) for flag in flags]
    is_old = [flag.startswith("--") and name in names for flag, name in zip(flags, bare, strict=True)]
    found = {name: names[name] for name, old in zip(bare, is_old, strict=True) if old}
    for old, new in found.items():
        if any(flag.startswith("--") and name == new for flag, name in zip(flags, bare, strict=True)):
            raise UserError(f"--{old} is called --{new} now; give one of the two")
    for old, new in found.items():
        print(f"morl: note: --{old} is called --{new} now", file=sys.stderr)
    return [_renamed(flag, names[name]) if old else flag for flag, name, old in zip(flags, bare, is_old, strict=True)]


def _renamed(flag: str, name: str) -> str:
    """Return a flag with another name, and with the value or the negation that it has."""
    head, equals, value = flag.partition("=")
    return f"--{'no-' if head.startswith('--no-') else ''}{name}{equals}{value}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
