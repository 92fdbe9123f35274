"""Guard around the objects of a user: environments and agents of packages other than this one.

Environments and learners are called while JAX traces them, so the guard costs nothing in compiled code.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from morl.errors import UserError, user_code, user_code_error


def guarded(target: Any, owner: str, advice: str = "", parts: tuple[str, ...] = ()) -> Any:
    """Return an object of a user whose methods and attributes are used under :func:`morl.errors.user_code`.

    An object of this library is returned as it is. A guarded one equals the user's and is an instance of its class.

    Args:
        target: the object.
        owner, advice: for the error, see :func:`morl.errors.user_code_error`.
        parts: names of attributes that are objects to guard as well, such as an agent's learner.
    """
    return target if target is None or is_ours(type(target)) else _Guarded(target, owner, advice, parts)


def constructed(entry_point: Callable[..., Any], owner: str, *args: Any, **kwargs: Any) -> Any:
    """Return what a class or function makes; what one of a user raises becomes one line.

    Raises:
        UserCodeError: it raised.
    """
    if is_ours(entry_point):
        return entry_point(*args, **kwargs)
    with user_code(owner, "its constructor"):
        return entry_point(*args, **kwargs)


def made_settings(cls: type[Any], **values: Any) -> Any:
    """Return settings of a dataclass, which may be a user's; what its ``__post_init__`` raises becomes one line.

    Raises:
        UserCodeError: it raised.
    """
    return constructed(cls, f"settings {cls.__name__}", **values)


def replaced_settings(settings: Any, **changes: Any) -> Any:
    """Return settings with changes, as :func:`dataclasses.replace` does; see :func:`made_settings`."""
    cls = type(settings)
    if is_ours(cls):
        return dataclasses.replace(settings, **changes)
    with user_code(f"settings {cls.__name__}", "its constructor"):
        return dataclasses.replace(settings, **changes)


@contextmanager
def made_by_parser(cls: type[Any]) -> Iterator[None]:
    """Run a parser that makes settings; what a user's dataclass of them raises becomes one line, all else passes.

    Args:
        cls: the dataclass that is made; a user's may be that of one of its fields.

    Raises:
        UserCodeError: code of the module of such a dataclass raised.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        modules = {frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)}
        for user in (each for each in (cls, *_dataclasses_of(cls)) if not is_ours(each) and each.__module__ in modules):
            raise user_code_error(f"settings {user.__name__}", "its constructor", error) from error
        raise


def _dataclasses_of(cls: type[Any]) -> list[type[Any]]:
    """Return the dataclasses that are fields of one."""
    kinds = [field.type for field in dataclasses.fields(cls)]
    return [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def is_ours(code: Any) -> bool:
    """Return whether a class or function is this library's."""
    return str(getattr(code, "__module__", "")).partition(".")[0] == "morl"


class _Guarded:
    def __init__(self, target: Any, owner: str, advice: str, parts: tuple[str, ...]) -> None:
        self.__dict__.update(_target=target, _owner=owner, _advice=advice, _parts=parts, _methods={})

    @property  # type: ignore[misc]  # for isinstance
    def __class__(self) -> type[Any]:
        return type(self.__dict__["_target"])

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if name.startswith("__") or "_target" not in own:  # of copies that are being made
            raise AttributeError(name)
        value = _attribute(own["_target"], name, own["_owner"], own["_advice"])
        if name in own["_parts"]:
            return guarded(value, own["_owner"], own["_advice"], own["_parts"])
        if not _is_function(value):
            return value
        known, method = own["_methods"].get(name, (None, None))
        if known != value:  # the same function each time, or JAX would compile it again
            method = _method(value, own["_owner"], name, own["_advice"])
            own["_methods"][name] = value, method
        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_target"], name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is _Guarded:
            other = other.__dict__["_target"]
        return bool(self.__dict__["_target"] == other)

    def __hash__(self) -> int:
        return hash(self.__dict__["_target"])

    def __repr__(self) -> str:
        return repr(self.__dict__["_target"])

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_target"])


def _attribute(target: Any, name: str, owner: str, advice: str) -> Any:
    """Return an attribute of a user's object; a missing one is an AttributeError, as ``hasattr`` needs."""
    try:
        return getattr(target, name)
    except AttributeError as error:
        if inspect.getattr_static(target, name, None) is None:
            raise
        raise user_code_error(owner, name, error, advice) from error
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise user_code_error(owner, name, error, advice) from error


def _is_function(value: Any) -> bool:
    """Return whether a value is a function, method or function of JAX, not a class or another callable object."""
    return inspect.isroutine(value) or isinstance(value, functools.partial) or hasattr(value, "__wrapped__")


def _method(call: Callable[..., Any], owner: str, name: str, advice: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def method(*args: Any, **kwargs: Any) -> Any:
        with user_code(owner, name, advice):
            return call(*args, **kwargs)

    return method
