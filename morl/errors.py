"""Errors a user can cause, each with a message of one line; the command line turns them into exit code 2."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """Bad input; the message says what was wrong, what is allowed and, for a name, the nearest valid one.

    Attributes:
        details: traceback in another process, for the log; empty where there is none.
    """

    details = ""


class MissingExtraError(UserError, ImportError):
    """Missing optional package; the message names the extra that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs the '{extra}' extra: pip install 'morlax[{extra}]'")


class UserCodeError(UserError):
    """Error in the code of a user: an environment, agent, metric or oracle of theirs raised, or called ``sys.exit``."""


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


def unknown_keyword(id: str, name: str, allowed: Iterable[str]) -> UserError:
    """Return an error for a keyword that an environment does not have, with those it has and the nearest one."""
    names = list(allowed)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UserError(f"{id} has no keyword {name!r}; allowed: {', '.join(names) or 'none'}{hint}")


def user_code_error(owner: str, what: str, error: BaseException, advice: str = "") -> UserCodeError:
    """Return the one line for what a user's code has raised, to be raised from it.

    Args:
        owner: name of the environment, agent or metric.
        what: method and step, as in ``step 3 of an episode``.
        error: what was raised.
        advice: appended, after a semicolon.
    """
    text = f"{owner}: {what} raised {blame(error)}"
    return UserCodeError(f"{text}; {advice}" if advice else text)


@contextlib.contextmanager
def _reworded(reword: Callable[[BaseException], UserCodeError]) -> Iterator[None]:
    """Raise ``reword(error)`` for all that the block raises but Ctrl-C, :class:`UserError` and a generator's end."""
    try:
        yield
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise reword(error) from error


def user_code(owner: str, what: str, advice: str = "") -> contextlib.AbstractContextManager[None]:
    """Run a user's code: all it raises, ``SystemExit`` too, becomes one line; Ctrl-C and :class:`UserError` pass.

    Args:
        owner, what, advice: see :func:`user_code_error`.

    Raises:
        UserCodeError: the block has raised.
    """
    return _reworded(lambda error: user_code_error(owner, what, error, advice))


def user_code_that(text: str, advice: str = "") -> contextlib.AbstractContextManager[None]:
    """Run a user's code as :func:`user_code` does, where what cannot be done says more than the method's name.

    Args:
        text: begins the line, such as ``X cannot be copied``; the error follows.
        advice: appended, after a semicolon.

    Raises:
        UserCodeError: the block has raised.
    """
    return _reworded(lambda error: UserCodeError(f"{text}: {blame(error)}{f'; {advice}' if advice else ''}"))


@contextlib.contextmanager
def closing(thing: Any) -> Iterator[None]:
    """Close a thing after the block; where the block has raised, an error in closing does not hide that."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(UserError):
            thing.close()
        raise
    thing.close()


def whole_traceback(error: BaseException) -> str:
    """Return the traceback of an error and of its causes, in other processes too."""
    details, cause = [], error.__cause__
    for each in (error, cause):
        if isinstance(each, UserError) and each.details:
            details.append(each.details)
    return "\n".join(["".join(traceback.format_exception(error)).rstrip(), *dict.fromkeys(details)])


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
