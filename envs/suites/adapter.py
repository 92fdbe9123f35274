"""Environments of other suites under the library's contract, with a vector reward of what they tell in each step.

An environment of a suite has one reward. The objectives are either numbers that it tells beside it, by their names, or
what a user's function makes of the step. It is stepped without the suite's own auto-reset and time limit, which the
core has.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.envs.base import Objective
from morl.errors import MissingExtraError, UserError, unknown_name, user_code, user_code_that
from morl.registry import SuiteSpec, import_user_module
from morl.words import brief_repr

RewardFunction = Callable[[Any, Any, Any, dict[str, Any]], Any]


class ScalarStep(NamedTuple):
    """Result of a step of an environment with one reward.

    Attributes:
        state, obs: after the step, before any reset.
        terminated, truncated: () flags.
        told: what the environment tells of the step, by name; ``reward`` is its own reward.
    """

    state: Any
    obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    told: dict[str, Any]


class ScalarEnvironment(Protocol):
    """Environment of a suite; equal to itself only.

    Attributes:
        observation_space, action_space: of one array, as agents see them.
        max_episode_steps: the suite's time limit; None for no limit.
        default_params: params pytree for ``reset`` and ``step``.
    """

    @property
    def observation_space(self) -> Space[Any]: ...
    @property
    def action_space(self) -> Space[Any]: ...
    @property
    def max_episode_steps(self) -> int | None: ...
    @property
    def default_params(self) -> Any: ...

    def native_action(self, action: jax.Array) -> Any:
        """Return an action of ``action_space`` as the suite takes it."""
        ...

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        """Start an episode with a raw key (2,) uint32; return state and observation."""
        ...

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> ScalarStep:
        """Advance one step, by an action as the suite takes it."""
        ...


@dataclass(frozen=True)
class SuiteEnvironment:
    """Environment of a suite with a vector reward.

    Attributes:
        id: such as ``brax:ant``.
        inner: the environment.
        names: of the R objectives.
        function: makes the rewards of a step; without one they are what the environment tells under ``names``.
    """

    id: str
    inner: ScalarEnvironment
    names: tuple[str, ...]
    function: RewardFunction | None = None

    reference_point = None  # the user's to say
    __repr__ = brief_repr

    def __getattr__(self, name: str) -> Any:
        """Return the mask of actions, where the environment has one."""
        if name in ("action_mask", "observation_key"):
            return getattr(self.inner, name)
        raise AttributeError(name)

    @property
    def observation_space(self) -> Space[Any]:
        return self.inner.observation_space

    @property
    def action_space(self) -> Space[Any]:
        return self.inner.action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.inner.max_episode_steps

    @property
    def default_params(self) -> Any:
        return self.inner.default_params

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(map(Objective, self.names))

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (len(self.names),), np.float32)

    @partial(jax.jit, static_argnums=0)  # traced once, however many programs it is a part of
    def reset(self, key: jax.Array, params: Any) -> tuple[Any, jax.Array]:
        with _foreign(), user_code(self.id, "reset"):
            return self.inner.reset(jax.random.key_data(key), params)

    @partial(jax.jit, static_argnums=0)
    def step(
        self, key: jax.Array, state: Any, action: jax.Array, params: Any
    ) -> tuple[Any, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        native, done = _stepped(self.id, self.inner, key, state, action, params)
        told = numbers(done.told)
        if self.function is None:
            reward = jnp.stack([told[name].astype(jnp.float32) for name in self.names])
        else:
            with _foreign(), user_code(self.id, "the reward function"):
                reward = jnp.asarray(self.function(state, native, done.state, told), jnp.float32)
        return done.state, done.obs, reward, done.terminated, done.truncated, told


def _stepped(
    id: str, inner: ScalarEnvironment, key: jax.Array, state: Any, action: jax.Array, params: Any
) -> tuple[Any, ScalarStep]:
    """Return an action as the suite takes it, and its step."""
    with _foreign(), user_code(id, "step"):
        native = inner.native_action(action)
        state = jax.tree.map(lambda leaf: leaf, state)  # in new containers: some suites change the dictionaries in it
        return native, inner.step(jax.random.key_data(key), state, native, params)


@contextlib.contextmanager
def _foreign() -> Iterator[None]:
    """Run code that is not the library's: under JAX's default rules of promotion, its warnings silenced."""
    rules = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    with rules[0], rules[1], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def numbers(told: Mapping[str, Any], prefix: str = "") -> dict[str, jax.Array]:
    """Return the single numbers and flags among what an environment tells; ``a.b`` is ``b`` of the dictionary ``a``."""
    found: dict[str, jax.Array] = {}
    for name, value in told.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}.")
        elif not isinstance(value, str) and value is not None:
            array = jnp.asarray(value)
            if array.shape == () and (array.dtype == jnp.bool_ or jnp.issubdtype(array.dtype, jnp.number)):
                found[f"{prefix}{name}"] = array
    return found


# --- Making -----------------------------------------------------------------------------------------------------------


def make(suite: SuiteSpec, name: str, kwargs: Mapping[str, Any]) -> SuiteEnvironment:
    """Make an environment of a suite.

    Args:
        suite: the suite.
        name: of the environment in it.
        kwargs: ``objectives``, names of numbers that the environment tells, or with ``reward``, which is
            ``module:function`` or a function, names of what that returns; all others are the environment's own.

    Raises:
        UserError: unknown environment, keyword or objective; a reward function that returns something else than R >= 2
            numbers, or another number of them than there are names.
        MissingExtraError: the suite is not installed.
    """
    id = f"{suite.name}:{name}"
    own = {key: value for key, value in kwargs.items() if key not in ("objectives", "reward")}
    check_name(suite, name)
    inner = _load(suite, name, own)
    names, reward = _names(id, kwargs.get("objectives")), kwargs.get("reward")
    function = _function(id, reward) if isinstance(reward, str) else reward
    if function is not None and not callable(function):
        raise UserError(f"{id}: reward must be module:function or a function, not {reward!r}")
    told, rewards = _traced(id, inner, function)
    if function is None:
        _check_told(id, names, told)
        return SuiteEnvironment(id, inner, names)
    size = _size(id, rewards)
    if names and len(names) != size:
        raise UserError(f"{id}: the reward function returns {size} numbers; objectives are {', '.join(names)}")
    return SuiteEnvironment(id, inner, names or tuple(f"objective_{i}" for i in range(size)), function)


def environments(suite: SuiteSpec) -> list[str]:
    """Return the names of the environments of a suite.

    Raises:
        MissingExtraError: it is not installed.
        UserError: it cannot be imported.
    """
    with _foreign(), user_code_that(f"{suite.name} cannot be imported"):
        return sorted(_module(suite).names())


def check_name(suite: SuiteSpec, name: str) -> None:
    """Check the name of an environment of a suite.

    Raises:
        UserError: the suite has no such environment.
    """
    known = environments(suite)
    if name not in known:
        raise _unknown(f"environment of {suite.name}", name, known)


def _unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return an error for an unknown name, with the nearest ones and all there are."""
    text, there = str(unknown_name(kind, name, known)), ", ".join(sorted(known))
    return UserError(text if there in text else f"{text} There are: {there}")


def _module(suite: SuiteSpec) -> Any:
    """Return the adapter of a suite.

    Raises:
        MissingExtraError: the suite is not installed.
    """
    if not suite.installed:
        raise MissingExtraError(f"an environment of {suite.name}", suite.name)
    return importlib.import_module(suite.module)


def _load(suite: SuiteSpec, name: str, kwargs: dict[str, Any]) -> ScalarEnvironment:
    """Return an environment of a suite; the same one for equal keywords of plain values, which is compiled once."""
    try:
        return _loaded(suite, name, json.dumps(kwargs, sort_keys=True))
    except TypeError:  # keywords that are objects
        return _new(suite, name, kwargs)


@cache
def _loaded(suite: SuiteSpec, name: str, kwargs: str) -> ScalarEnvironment:
    return _new(suite, name, json.loads(kwargs))


def _new(suite: SuiteSpec, name: str, kwargs: dict[str, Any]) -> ScalarEnvironment:
    module = _module(suite)
    given = f" with {kwargs}" if kwargs else ""
    with _foreign(), user_code_that(f"{suite.name}:{name} cannot be made{given}"):
        made: ScalarEnvironment = module.load(name, kwargs)
    return made


# --- Objectives -------------------------------------------------------------------------------------------------------


def _names(id: str, given: Any) -> tuple[str, ...]:
    """Return names of objectives, given as a list or as a text with commas."""
    names = given.replace(",", " ").split() if isinstance(given, str) else list(given or ())
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names) or len(names) == 1:
        raise UserError(f"{id}: objectives must be two or more different names, not {given!r}")
    return tuple(names)


def _function(id: str, place: str) -> Any:
    """Return the function that ``module:function`` names."""
    module, _, name = place.rpartition(":")
    if not module:
        raise UserError(f"{id}: reward must be module:function, not {place!r}")
    imported = import_user_module(module, f"the reward of {id}")
    if not callable(getattr(imported, name, None)):
        known = [each for each, value in vars(imported).items() if callable(value) and not each.startswith("_")]
        raise unknown_name(f"function of {module}", name, known)
    return getattr(imported, name)


def _traced(id: str, inner: ScalarEnvironment, function: RewardFunction | None) -> tuple[dict[str, Any], Any]:
    """Return what an environment tells of a step, and what the function makes of it, by shapes and types."""

    def first(key: jax.Array, action: jax.Array) -> Any:
        params = inner.default_params
        with _foreign(), user_code(id, "reset"):
            state, _ = inner.reset(jax.random.key_data(key), params)
        native, done = _stepped(id, inner, key, state, action, params)
        told = numbers(done.told)
        if function is None:
            return told, None
        with _foreign(), user_code(id, "the reward function"):
            return told, function(state, native, done.state, told)

    action = inner.action_space
    shaped = jax.ShapeDtypeStruct(action.shape or (), jnp.float32 if isinstance(action, spaces.Box) else jnp.int32)
    told, rewards = jax.eval_shape(first, jax.random.key(0), shaped)
    return told, rewards


def _check_told(id: str, names: tuple[str, ...], told: Mapping[str, Any]) -> None:
    """Check that objectives are numbers that an environment tells."""
    function = "a reward function, --env-kwargs reward module:function"
    if not names and len(told) > 1:
        raise UserError(
            f"{id} has one reward; give --objectives, two or more of {', '.join(sorted(told))}; or {function}"
        )
    if not names:
        raise UserError(f"{id} has one reward and tells no other number; give {function}")
    for name in names:
        if name not in told:
            raise _unknown(f"objective of {id}", name, told)


def _size(id: str, rewards: Any) -> int:
    """Return R of what a reward function returns."""
    parts = rewards if isinstance(rewards, list | tuple) else None
    shape = getattr(rewards, "shape", None) if parts is None else (len(parts),)
    flat = parts is None or all(getattr(part, "shape", ()) == () for part in parts)
    if shape is None or len(shape) != 1 or shape[0] < 2 or not flat:
        told = f"an array of shape {shape}" if shape is not None and parts is None else f"a {type(rewards).__name__}"
        told = told if flat else "numbers that are arrays"
        raise UserError(f"{id}: the reward function must return two or more numbers, shape (R,), not {told}")
    return int(shape[0])
