"""Environments given as objects: an instance, or a class or function that makes one, in JAX or of Gymnasium."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.vector import VectorEnv

from morl import keywords
from morl.environments import check_keywords, made_by
from morl.envs.contract import broken_contract, missing_attributes
from morl.envs.gymnasium.from_gymnasium import HostEnvironment, host_environment
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.errors import UserError, user_code, user_code_that
from morl.guard import guarded
from morl.registry import Backend
from morl.words import brief_repr


@dataclass(frozen=True)
class GivenEnvironment:
    """Environment of an object.

    Attributes:
        env: functional, or on the host.
        id: an id that :func:`morl.make` makes it from again with ``kwargs``; else the object's name in angle brackets.
        kwargs: keywords of the environment.
        backend: where it runs.
    """

    env: Any
    id: str
    kwargs: Mapping[str, Any]
    backend: Backend
    __repr__ = brief_repr


def from_object(given: Any, kwargs: Mapping[str, Any], name: str = "") -> GivenEnvironment:
    """Return the environment of an object.

    Args:
        given: a functional environment, a :class:`.HostEnvironment`, a Gymnasium environment, or a class or function
            that makes one of the first or the last. Of a Gymnasium environment more are made by its registration, or
            else copied.
        kwargs: keywords of a class or function.
        name: id that names the object, ``module:Class``; by default one is found where there is one.

    Raises:
        UserError: not an environment, one that cannot be made or copied, or keywords of one that is made already.
    """
    if isinstance(given, type) or not _is_environment(given):
        return _made(given, kwargs, name)
    if kwargs:
        raise UserError(f"env_kwargs are for an id, a class or a function; the {_name(given)} given is made already")
    if isinstance(given, VectorEnv):
        raise UserError("give one environment, or a class or function that makes one, not a vector of them")
    if isinstance(given, HostEnvironment):
        return _registered(given.spec, given.kwargs) or _given(given, name or f"<{given.id}>", {}, "host")
    if isinstance(given, gymnasium.Env):
        return _of_gymnasium(given, name)
    made = made_by(given)
    if not name and made and _plain(made[1]):
        return _given(given, *made, "jax")
    id = name or f"<{_name(given)}>"
    if missing := missing_attributes(guarded(given, id)):
        raise broken_contract(id, missing[0])
    return _given(given, id, {}, "jax")


def check_sendable(given: GivenEnvironment) -> None:
    """Check that worker processes can be sent what makes a host environment.

    Raises:
        UserError: it cannot be pickled, as a local function cannot.
    """
    advice = "define it at the top of a module, or leave processes out"
    with user_code_that(f"{given.id} cannot be sent to worker processes", advice):
        pickle.dumps((given.env.spec, given.env.kwargs))


def _is_environment(given: Any) -> bool:
    """Return whether an object is an environment itself, whole or not, and not what makes one."""
    if isinstance(given, HostEnvironment | gymnasium.Env | VectorEnv):
        return True
    with user_code(_name(given), "default_params"):
        return hasattr(given, "default_params")


def _given(env: Any, id: str, kwargs: Mapping[str, Any], backend: Backend) -> GivenEnvironment:
    return GivenEnvironment(env, id, dict(kwargs), backend)


def _name(given: Any) -> str:
    """Return the name of an object's class, or of the class or function that it is."""
    inner = given.unwrapped if isinstance(given, gymnasium.Env) else given
    name = getattr(inner, "__name__", None) or type(inner).__name__
    return str(name).strip("<>")


def _made(make: Any, kwargs: Mapping[str, Any], name: str) -> GivenEnvironment:
    """Return the environment that a class or function makes."""
    if not callable(make):
        raise UserError(
            "env must be an id, an environment in JAX or of Gymnasium, or a class or function that makes one, "
            f"not {type(make).__name__}"
        )
    what = _name(make)
    id = name or _place(make) or f"<{what}>"
    if isinstance(make, type) and issubclass(make, gymnasium.Env):
        return _on_the_host(what, make, kwargs, id)
    check_keywords(id, make, kwargs)
    with user_code_that(f"{what} cannot make an environment"):
        env = make(**kwargs)
    if isinstance(env, gymnasium.Env):
        with user_code(id, "close"):
            env.close()
        return _on_the_host(what, make, kwargs, id)
    if isinstance(env, type) or not _is_environment(env):
        raise UserError(f"{what} makes no environment in JAX or of Gymnasium, but {type(env).__name__}")
    inner = from_object(env, {}, id)
    return _given(inner.env, id, kwargs, inner.backend)


def _place(make: Any) -> str:
    """Return ``module:name`` of a class or function that can be imported again; empty of another."""
    module, name = getattr(make, "__module__", ""), getattr(make, "__qualname__", "")
    there = getattr(sys.modules.get(module), name, None) if module != "__main__" else None
    return f"{module}:{name}" if there is make else ""


def _of_gymnasium(env: gymnasium.Env[Any, Any], name: str) -> GivenEnvironment:
    """Return the environment of an instance of Gymnasium's, which itself is not touched."""
    spec, inner = env.spec, env.unwrapped
    if spec is not None and isinstance(inner, GymnasiumEnv) and not spec.additional_wrappers:
        limit = inner.functional.max_episode_steps
        if spec.max_episode_steps == limit:
            return from_object(inner.functional, {})
    if spec is not None and spec.entry_point is not None:
        if known := _registered(spec, {}):
            return known
        if all(wrapper.kwargs is not None for wrapper in spec.additional_wrappers):
            return _given(host_environment(spec, {}), name or f"<{_name(env)}>", {}, "host")
    return _on_the_host(_name(env), Copies(env), {}, name or f"<{_name(env)}>")


def _on_the_host(name: str, make: Any, kwargs: Mapping[str, Any], id: str) -> GivenEnvironment:
    """Return the environment of a class or function that makes one of Gymnasium's."""
    return _given(host_environment(GymnasiumSpec(name, entry_point=make), kwargs), id, kwargs, "host")


def _registered(spec: GymnasiumSpec, kwargs: Mapping[str, Any]) -> GivenEnvironment | None:
    """Return the environment under the id that makes it again, or None if there is none."""
    known = gymnasium.registry.get(spec.id)
    if known is None or known.entry_point != spec.entry_point or spec.additional_wrappers != known.additional_wrappers:
        return None
    own = {key: value for key, value in {**spec.kwargs, **kwargs}.items() if key != "render_mode"}
    changed = {key: value for key, value in own.items() if key not in known.kwargs or known.kwargs[key] != value}
    if spec.max_episode_steps != known.max_episode_steps:
        changed["max_episode_steps"] = spec.max_episode_steps
    if not _plain(changed):
        return None
    return _given(host_environment(known, changed), spec.id, changed, "host")


def _plain(kwargs: Mapping[str, Any]) -> bool:
    """Return whether keywords can be settings of a run."""
    try:
        keywords.check(kwargs)
    except UserError:
        return False
    return True


class Copies:
    """Entry point that makes copies of an instance of a Gymnasium environment.

    Raises:
        UserError: it cannot be copied, or another render mode than its own is asked for.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env

    def __deepcopy__(self, memo: dict[int, Any]) -> Copies:
        return self  # Gymnasium copies registrations, and the copies made here are copies already

    def __call__(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """Return a copy."""
        name = _name(self.env)
        if render_mode is not None and render_mode != self.env.render_mode:
            raise UserError(f"{name} was made without render_mode={render_mode!r}: make it with that to draw it")
        advice = "training takes many of them: give the class, or a function that makes one"
        with user_code_that(f"{name} cannot be copied", advice):
            copied: gymnasium.Env[Any, Any] = copy.deepcopy(self.env)
        return copied
