"""Checks of an environment behind Gymnasium's interface. Called by :func:`morl.envs.checks.check.check_env`."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from morl.envs.checks.generators import drawn_from, global_state, seed_global_generators
from morl.envs.checks.report import ENDLESS, Fault, Report, check_reference_point, check_terminations_at_limit
from morl.envs.gymnasium.wrappers import LinearReward
from morl.errors import blame
from morl.registry import EnvSpec

STEPS, SECONDS, BYTES = 1000, 3.0, 2**27  # random steps: so many, unless they take longer or their pictures more room

Builder = Callable[[], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class Subject:
    """A Gymnasium environment to be checked.

    Attributes:
        env: it.
        again: makes another one of it, where that is known how.
        limit: steps after which ``env`` is cut off by whoever uses it; a ``TimeLimit`` inside of it counts for itself.
        nondeterministic: it says of itself that its seed does not decide all.
        registered: what the library knows of it.
    """

    env: gymnasium.Env[Any, Any]
    again: Builder | None
    limit: int | None = None
    nondeterministic: bool = False
    registered: EnvSpec | None = None


class Given(NamedTuple):
    """What one call gave, the objects themselves; the reset of an episode is its step 0, with no reward.

    Attributes:
        episode, step: when.
        obs, reward, info: what.
        terminated, truncated: the flags, as they came.
        was: copies of ``obs``, ``reward`` and ``info``, made at once.
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
        """For a message."""
        return f"step {self.step} of episode {self.episode}" if self.step else f"the reset of episode {self.episode}"

    @property
    def ended(self) -> bool:
        """By the environment."""
        return bool(self.terminated) or bool(self.truncated)


def check_gymnasium(report: Report, subject: Subject, seed: int) -> None:
    """Checks of a Gymnasium environment, over random episodes."""
    with report.about("spaces"):
        _check_spaces(report, subject.env)
    if not report.passed():
        for name in ("steps", "same seed", "shared objects", "Gymnasium's own checker"):
            report.skip(name, "fix the spaces first")
        return
    given: list[Given] = []
    actions: list[Any] = []
    before = _start(0)
    with report.about("steps", "random ones"):
        given = _play(subject, seed, _sampled(subject.env, seed, actions))
    if not given:
        for name in ("same seed", "shared objects", "Gymnasium's own checker"):
            report.skip(name, "fix the steps first")
        return
    moved = drawn_from(before)
    _check_given(report, subject, given)
    _check_repeats(report, subject, seed, actions, given, moved)
    _check_registration(report, subject, given)
    name = "Gymnasium's own checker"
    if any(f.status == "fix" and f.subject == "reward" for f in report.findings):
        report.skip(name, "fix the reward first")
    elif subject.again is None:
        report.skip(name, "give the class, a function that makes it or an id, for one that may be closed")
    else:
        with report.about(name, "with the sum of the rewards"):
            check_by_gymnasium(report, subject.again())


def _check_spaces(report: Report, env: gymnasium.Env[Any, Any]) -> None:
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, Space):
            report.fix(name, f"must be a gymnasium.Space, not {space!r}")
    if isinstance(getattr(env, "action_space", None), spaces.Dict | spaces.Tuple):
        report.fix("action_space", f"must be of one array, not a {type(env.action_space).__name__}")
    space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.shape[0] < 2:
        report.fix("reward_space", f"must be a gymnasium.spaces.Box of shape (R,) with R >= 2, not {space!r}")
    elif not np.issubdtype(space.dtype, np.floating):
        report.fix("reward_space", f"must be of floats, not of {space.dtype}")


def _start(generators: int) -> dict[str, Any]:
    seed_global_generators(generators)
    return global_state()


def _sampled(env: gymnasium.Env[Any, Any], seed: int, kept: list[Any]) -> Iterator[Any]:
    """Random actions, a copy of each in ``kept``, until there are enough."""
    env.action_space.seed(seed)
    space = env.observation_space
    size = max(1, int(np.prod(space.shape or ())) * np.dtype(space.dtype).itemsize)
    end = time.monotonic() + SECONDS
    for _ in range(min(STEPS, max(20, BYTES // size))):
        action = env.action_space.sample()
        kept.append(_copied(action))
        yield action
        if time.monotonic() > end:
            return


def _play(subject: Subject, seed: int, actions: Iterable[Any]) -> list[Given]:
    """Episodes one after another, only the first one seeded.

    Raises:
        Fault: the environment raised, or returned something that is not five or two values.
    """
    env, given, start, episode, step = subject.env, list[Given](), True, 0, 0
    for action in actions:
        if start:
            episode, step = episode + 1, 0
            reset = partial(env.reset, seed=seed if episode == 1 else None)
            obs, info = _called(reset, 2, f"the reset of episode {episode}")
            given.append(Given(episode, 0, obs, None, False, False, info, _copied((obs, None, info))))
        step += 1
        kept = _copied(action)
        when = f"step {step} of episode {episode}"
        obs, reward, terminated, truncated, info = _called(partial(env.step, action), 5, when)
        if not _same(action, kept):
            raise Fault(f"{when} changed the action it was given: copy it first")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                raise Fault(f"{name} must be a bool, not {flag!r} ({when})")
        given.append(Given(episode, step, obs, reward, terminated, truncated, info, _copied((obs, reward, info))))
        start = given[-1].ended or step == subject.limit
    return given


def _called(call: Callable[[], Any], size: int, when: str) -> tuple[Any, ...]:
    try:
        result = call()
    except Exception as error:  # of any kind: it is the environment's
        raise Fault(f"{when} raised {blame(error)}") from error
    names = {2: "(observation, info)", 5: "(observation, reward, terminated, truncated, info)"}[size]
    if not isinstance(result, tuple) or len(result) != size:
        what = f"{len(result)} values" if isinstance(result, tuple) else f"a {type(result).__name__}"
        raise Fault(f"{when} returned {what}; it must return {names}")
    return result


def _check_given(report: Report, subject: Subject, given: list[Given]) -> None:
    steps = [g for g in given if g.step]
    reward_space = subject.env.get_wrapper_attr("reward_space")
    with report.about("observations", f"of {len(given)} calls"):
        for g in given:
            _check_observation(report, subject.env.observation_space, g)
    with report.about("reward", f"of {len(steps)} steps, {reward_space.shape[0]} objectives"):
        for g in steps:
            _check_reward(report, reward_space, g)
    with report.about("info"):
        for g in given:
            if not isinstance(g.info, dict):
                report.fix("info", f"must be a dictionary, not a {type(g.info).__name__} ({g.when})")
    own_limit = _time_limit(subject.env)
    with report.about("terminated and truncated"):
        for g in steps:
            # Gymnasium's TimeLimit sets its flag whatever the environment says, which is no fault of the environment
            if g.terminated and g.truncated and g.step != own_limit:
                report.fix(
                    "terminated and truncated",
                    f"are both set at {g.when}; cut off is not over, or a learner takes the state for worthless",
                )
    with report.about("time limit", f"{subject.limit or own_limit or 'none'}"):
        _check_limit(report, steps, subject.limit, own_limit)
    with report.about("shared objects"):
        _check_shared(report, given)


def _check_observation(report: Report, space: Space[Any], g: Given) -> None:
    obs = g.was[0]
    if not space.contains(obs):
        kind = f"{obs.dtype}, shape {obs.shape}" if isinstance(obs, np.ndarray) else type(obs).__name__
        report.fix("observations", f"{_short(obs)} ({kind}) at {g.when} is not in {space}")


def _check_reward(report: Report, space: spaces.Box, g: Given) -> None:
    reward = g.was[1]
    allowed = f"must be a NumPy array of {space.dtype} and shape {space.shape}"
    if not isinstance(reward, np.ndarray):
        report.fix("reward", f"{allowed}, not a {type(reward).__name__} ({g.when})")
    elif reward.shape != space.shape:
        report.fix("reward", f"{allowed}, not of shape {reward.shape} ({g.when})")
    elif reward.dtype != space.dtype:
        report.fix("reward", f"{allowed} as reward_space says, not of {reward.dtype} ({g.when})")
    elif not np.isfinite(reward).all():
        report.fix("reward", f"{reward.tolist()} is not finite ({g.when})")
    else:
        slack = 1e-5 * np.maximum(1.0, np.abs(reward))
        if (reward < space.low - slack).any() or (reward > space.high + slack).any():
            report.fix("reward", f"{reward.tolist()} at {g.when} is outside of reward_space {space}: widen its bounds")


def _time_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Steps after which a ``TimeLimit`` among the wrappers truncates."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return int(env._max_episode_steps)
        env = env.env
    return None


def _check_limit(report: Report, steps: list[Given], limit: int | None, own_limit: int | None) -> None:
    ends = [g for g in steps if g.ended]
    expected = limit or own_limit
    if expected is None:
        if not ends:
            report.note("time limit", f"{ENDLESS.format(len(steps))}; register it with max_episode_steps")
        return
    check_terminations_at_limit(report, [(g.step, bool(g.terminated) and not g.truncated) for g in ends], expected)
    for g in steps:
        if g.step == own_limit and not g.ended:
            report.fix("time limit", f"{g.when} is the last one of its TimeLimit but is not truncated")


def _check_shared(report: Report, given: list[Given]) -> None:
    """Nothing that was handed out may change later, nor be handed out twice."""
    seen: dict[tuple[str, int], Given] = {}
    for g in given:
        for name, now, was in zip(("observation", "reward", "info"), (g.obs, g.reward, g.info), g.was, strict=True):
            if not _same(now, was):
                report.fix("shared objects", f"the {name} of {g.when} changed afterwards: return a copy, new each time")
            for place in _places(now):
                other = seen.setdefault((name, place), g)
                if other is not g:
                    report.fix(
                        "shared objects", f"the {name} of {other.when} and of {g.when} are one object: return new ones"
                    )


def _places(data: Any) -> Iterator[int]:
    """Addresses of what could be edited in place."""
    if isinstance(data, np.ndarray):
        if data.size and data.flags.writeable:
            yield data.__array_interface__["data"][0]
    elif isinstance(data, dict | list):
        yield id(data)
    if isinstance(data, dict | list | tuple):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _places(part)


def _check_repeats(
    report: Report, subject: Subject, seed: int, actions: list[Any], given: list[Given], moved: str
) -> None:
    with report.about("global random state", "untouched"):
        _start(1)
        apart = _difference(given, _play(subject, seed, _copied(actions)))
        _start(0)
        alike = _difference(given, _play(subject, seed, _copied(actions)))
        if moved or (apart and not alike):
            what = f"{moved} was drawn from" if moved else f"decides the {apart}"
            report.fix("global random state", f"{what}: draw from self.np_random, which reset(seed=) seeds")
    with report.about("same seed", "observations, rewards and flags, in this instance and in another"):
        if alike:
            _told(report, subject, f"gave another {alike} in the same instance: let nothing of other episodes in")
        elif subject.again is None:
            report.note("same seed", "in another instance not looked at: give the class or a function that makes it")
        else:
            other = subject.again()
            _start(0)
            apart = _difference(given, _play(Subject(other, None, subject.limit), seed, _copied(actions)))
            other.close()
            if apart:
                _told(report, subject, f"gave another {apart} in another instance")
        if not _difference(given, _play(subject, seed + 1, _copied(actions))):
            report.note("randomness", "none: another seed changed nothing")


def _told(report: Report, subject: Subject, what: str) -> None:
    text = f"reset(seed=) and the same actions {what}; draw from self.np_random after super().reset(seed=seed)"
    if subject.nondeterministic:
        report.note("same seed", f"{text}; registered as nondeterministic")
    else:
        report.fix("same seed", text)


def _difference(one: list[Given], two: list[Given]) -> str:
    """What differs first between two plays of the same actions; empty if nothing does."""
    for a, b in zip(one, two, strict=False):
        for name, x, y in (("observation", a.was[0], b.was[0]), ("reward", a.was[1], b.was[1])):
            if not _same(x, y):
                return f"{name} at {a.when} ({_short(x)}, then {_short(y)})"
        if (bool(a.terminated), bool(a.truncated)) != (bool(b.terminated), bool(b.truncated)):
            return f"end of episode {a.episode}"
    return "" if len(one) == len(two) else "number of episodes"


def _check_registration(report: Report, subject: Subject, given: list[Given]) -> None:
    known, size = subject.registered, subject.env.get_wrapper_attr("reward_space").shape[0]
    with report.about("registration"):
        if known is None:
            report.note("objectives", "have no names and there is no reference point: morl.register_env gives it both")
        elif len(known.objectives) != size:
            report.fix("registration", f"names {len(known.objectives)} objectives; the reward has {size}")
        elif not any(f.status == "fix" and f.subject == "reward" for f in report.findings):
            returns: dict[int, NDArray[Any]] = {}
            for g in given:
                if g.step:
                    returns[g.episode] = returns.get(g.episode, 0.0) + known.gamma ** (g.step - 1) * g.was[1]
            vector_returns = np.stack(list(returns.values()))
            check_reference_point(report, known.reference_point, known.objective_names, vector_returns)


class _Scalar(LinearReward):
    """The sum of the rewards; flags as Gymnasium's checker wants them; of masked actions, which it does not know, the
    first allowed one."""

    _mask: Any = None

    def reset(self, **kwargs: Any) -> Any:
        obs, info = super().reset(**kwargs)
        self._mask = info.get("action_mask")
        return obs, info

    def step(self, action: Any) -> Any:
        if self._mask is not None and not self._mask[action]:
            action = np.argmax(self._mask)
        obs, reward, terminated, truncated, info = super().step(action)
        self._mask = info.get("action_mask")
        return obs, reward, bool(terminated), bool(truncated), info


def check_by_gymnasium(report: Report, env: gymnasium.Env[Any, Any]) -> None:
    """Gymnasium's own checker; what it asserts is to be mended, what it warns of is noted. Closes ``env``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(_Scalar(env), skip_render_check=True)
        except AssertionError as error:
            raise Fault(_first_line(error)) from error
    for text in dict.fromkeys(_first_line(warning.message) for warning in caught):
        if "different from the unwrapped version" not in text:  # it is our wrapper that is meant
            report.note("Gymnasium advises", text)


def _first_line(message: object) -> str:
    return re.sub(r"\x1b\[\d+m|WARN: ", "", (str(message).splitlines() or [""])[0])


def _copied(data: Any) -> Any:
    """Containers and arrays copied, the rest as it is."""
    if isinstance(data, np.ndarray):
        return data.copy()
    if isinstance(data, dict):
        return {name: _copied(part) for name, part in data.items()}
    if type(data) in (list, tuple):
        return type(data)(_copied(part) for part in data)
    return data


def _same(one: Any, two: Any) -> bool:
    """Equal to the bit, NaN to NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, np.ndarray):
        floats = np.issubdtype(one.dtype, np.inexact)
        return (one.dtype, one.shape) == (two.dtype, two.shape) and np.array_equal(one, two, equal_nan=floats)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(_same(a, b) for a, b in zip(one, two, strict=True))
    return bool(one is two or one == two or (one != one and two != two))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
