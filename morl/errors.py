"""Errors a user can cause, each with a message of one line; the command line turns them into exit code 2."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input; the message says what was wrong, what is allowed and, for a name, the nearest valid one."""


class MissingExtraError(UserError, ImportError):
    """Missing optional package; the message names the extra that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'morl-jax[{extra}]'")


class WorkerError(UserError):
    """Failed worker process; ``details`` is its traceback for the log, if there is one."""

    def __init__(self, message: str, details: str) -> None:
        self.details = details
        super().__init__(message)


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """Return an error for an unknown name, with up to three nearest valid ones, or all if none is near."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)  # YAML has keys that are not strings
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def blame(error: BaseException) -> str:
    """Return one line with the error and its place: the last line of code that is not a library's."""
    libraries = {"jax", "jaxlib", "numpy", "gymnasium", "equinox", "morl", *sys.stdlib_module_names}
    places = [
        (code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (code := frame.f_code).co_filename[:1] != "<"
        and frame.f_globals.get("__name__", "").partition(".")[0] not in libraries
    ]
    text = " ".join((str(error).splitlines() or [""])[0].split())
    where = f" ({os.path.relpath(places[-1][0])}:{places[-1][1]})" if places else ""
    return f"{type(error).__name__}: {text}{where}"
