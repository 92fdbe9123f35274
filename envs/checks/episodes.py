"""Random episodes of a Gymnasium environment, recorded for its checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from morl.envs.checks.generators import global_state, seed_global_generators
from morl.envs.checks.report import Fault
from morl.envs.gymnasium.masked import MASK, allowed_action, checked_mask, mask_of
from morl.errors import UserError, blame
from morl.registry import EnvSpec

STEPS, SECONDS, BYTES = 1000, 3.0, 2**27  # bounds on random steps: number, time, memory of their observations

Builder = Callable[[], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class Subject:
    """Gymnasium environment to check.

    Attributes:
        env: the environment.
        build: makes another instance, or None.
        limit: time limit that is applied outside of ``env``, in steps, or None.
        nondeterministic: registered as not reproducible from its seed.
        registered: the library's registration, or None.
    """

    env: gymnasium.Env[Any, Any]
    build: Builder | None
    limit: int | None = None
    nondeterministic: bool = False
    registered: EnvSpec | None = None


class Call(NamedTuple):
    """Results of a call of ``step`` or ``reset``; a reset is step 0 of its episode, without a reward.

    Attributes:
        episode, step: numbers of episode and step.
        obs, reward, info: the returned objects themselves.
        terminated, truncated: the flags as returned.
        was: copies of ``obs``, ``reward`` and ``info``, made directly after the call.
    """

    episode: int
    step: int
    obs: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any
    was: tuple[Any, Any, Any]

    @property
    def when(self) -> str:
        """Step and episode, for a message."""
        return f"step {self.step} of episode {self.episode}" if self.step else f"the reset of episode {self.episode}"

    @property
    def ended(self) -> bool:
        """True if the environment ended the episode."""
        return bool(self.terminated) or bool(self.truncated)


def start_generators(seed: int) -> dict[str, Any]:
    """Seed the global generators and return their states."""
    seed_global_generators(seed)
    return global_state()


def sampled_actions(env: gymnasium.Env[Any, Any], seed: int, kept: list[Any]) -> Iterator[Any]:
    """Yield random actions until a bound is reached, and append a copy of each to ``kept``."""
    env.action_space.seed(seed)
    space = env.observation_space
    size = max(1, int(np.prod(space.shape or ())) * np.dtype(space.dtype).itemsize)
    end = time.monotonic() + SECONDS
    for _ in range(min(STEPS, max(20, BYTES // size))):
        action = env.action_space.sample()
        kept.append(copied(action))
        yield action
        if time.monotonic() > end:
            return


def play(subject: Subject, seed: int, actions: Iterable[Any]) -> list[Call]:
    """Play episodes one after another; only the first is seeded.

    An action that the environment's mask forbids is replaced by an allowed one.

    Raises:
        Fault: the environment raised, gave a wrong mask, changed its action, returned a flag that is not a bool, or did
            not return five values (two for ``reset``).
    """
    env, calls, start, episode, step = subject.env, list[Call](), True, 0, 0
    for action in actions:
        if start:
            episode, step = episode + 1, 0
            reset = partial(env.reset, seed=seed if episode == 1 else None)
            obs, info = _called(reset, 2, f"the reset of episode {episode}")
            calls.append(Call(episode, 0, obs, None, False, False, info, copied((obs, None, info))))
        step += 1
        action = _allowed(action, calls, env)
        kept = copied(action)
        when = f"step {step} of episode {episode}"
        obs, reward, terminated, truncated, info = _called(partial(env.step, action), 5, when)
        if not same(action, kept):
            raise Fault(f"{when} changed the action it was given: copy it first")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                raise Fault(f"{name} must be a bool, not {flag!r} ({when})")
        calls.append(Call(episode, step, obs, reward, terminated, truncated, info, copied((obs, reward, info))))
        start = calls[-1].ended or step == subject.limit
    return calls


def _allowed(action: Any, calls: list[Call], env: gymnasium.Env[Any, Any]) -> Any:
    """Return the action, or one that the mask of the last call allows in its place.

    Raises:
        Fault: a wrong mask, or one at some steps only.
    """
    first, last = (mask_of(call.was[0], call.was[2]) for call in (calls[0], calls[-1]))
    if (first is None) is not (last is None):
        raise Fault(f"{calls[0 if first is None else -1].when} gave no {MASK}, though others do: give one at each")
    if last is None:
        return action
    try:
        return allowed_action(action, checked_mask(last, env.action_space, calls[-1].when), env.action_space)
    except UserError as error:
        raise Fault(str(error)) from error


def _called(call: Callable[[], Any], size: int, when: str) -> tuple[Any, ...]:
    try:
        result = call()
    except (Exception, SystemExit) as error:  # any exception: it is the environment's
        raise Fault(f"{when} raised {blame(error)}") from error
    names = {2: "(observation, info)", 5: "(observation, reward, terminated, truncated, info)"}[size]
    if not isinstance(result, tuple) or len(result) != size:
        what = f"{len(result)} values" if isinstance(result, tuple) else f"a {type(result).__name__}"
        raise Fault(f"{when} returned {what}; it must return {names}")
    return result


def difference(one: list[Call], two: list[Call]) -> str:
    """Return the first difference between two plays of the same actions, or an empty string."""
    for a, b in zip(one, two, strict=False):
        for name, x, y in (("observation", a.was[0], b.was[0]), ("reward", a.was[1], b.was[1])):
            if not same(x, y):
                return f"{name} at {a.when} ({short(x)}, then {short(y)})"
        if (bool(a.terminated), bool(a.truncated)) != (bool(b.terminated), bool(b.truncated)):
            return f"end of episode {a.episode}"
    return "" if len(one) == len(two) else "number of episodes"


def copied(data: Any) -> Any:
    """Return a copy of nested containers and arrays; other objects are kept."""
    if isinstance(data, np.ndarray):
        return data.copy()
    if isinstance(data, dict):
        return {name: copied(part) for name, part in data.items()}
    if type(data) in (list, tuple):
        return type(data)(copied(part) for part in data)
    return data


def same(one: Any, two: Any) -> bool:
    """Return whether two nested objects are equal bit for bit, NaN equal to NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, np.ndarray):
        floats = np.issubdtype(one.dtype, np.inexact)
        return (one.dtype, one.shape) == (two.dtype, two.shape) and np.array_equal(one, two, equal_nan=floats)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one is two or one == two or (one != one and two != two))


def short(value: Any) -> str:
    """Return a value as text of at most 60 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
