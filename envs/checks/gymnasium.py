"""Checks of an environment behind Gymnasium's interface. Called by :func:`morl.envs.checks.check.check_env`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from morl.envs.checks.episodes import (
    Call,
    Subject,
    copied,
    difference,
    play,
    same,
    sampled_actions,
    short,
    start_generators,
)
from morl.envs.checks.generators import drawn_from
from morl.envs.checks.report import (
    ENDLESS,
    Fault,
    Report,
    check_reference_point,
    check_terminations_at_limit,
    note_lost,
    outside,
)
from morl.envs.gymnasium.masked import MASK, allowed_action, mask_of
from morl.envs.gymnasium.wrappers import LinearReward


def check_gymnasium(report: Report, subject: Subject, seed: int) -> None:
    """Check a Gymnasium environment over random episodes."""
    with report.about("spaces"):
        _check_spaces(report, subject.env)
    if not report.passed():
        for name in ("steps", "same seed", "shared objects", "Gymnasium's own checker"):
            report.skip(name, "fix the spaces first")
        return
    calls: list[Call] = []
    actions: list[Any] = []
    before = start_generators(0)
    with report.about("steps", "random ones"):
        calls = play(subject, seed, sampled_actions(subject.env, seed, actions))
    if not calls:
        for name in ("same seed", "shared objects", "Gymnasium's own checker"):
            report.skip(name, "fix the steps first")
        return
    moved = drawn_from(before)
    _check_calls(report, subject, calls)
    _check_repeats(report, subject, seed, actions, calls, moved)
    _check_registration(report, subject, calls)
    name = "Gymnasium's own checker"
    if any(f.status == "fix" and f.subject == "reward" for f in report.findings):
        report.skip(name, "fix the reward first")
    elif subject.build is None:
        report.skip(name, "give the class, a function that makes it or an id, for one that may be closed")
    else:
        # an instance of its own is closed first, to tell a close that raises from what else the checker finds
        report.closes(subject.build().close)
        if any(f.status == "fix" and f.subject == "close" for f in report.findings):
            report.skip(name, "fix close first")
            return
        with report.about(name, "with the sum of the rewards"):
            check_by_gymnasium(report, subject.build())


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


def _check_calls(report: Report, subject: Subject, calls: list[Call]) -> None:
    steps = [call for call in calls if call.step]
    reward_space = subject.env.get_wrapper_attr("reward_space")
    with report.about("observations", f"of {len(calls)} calls"):
        for call in calls:
            _check_observation(report, subject.env.observation_space, call)
    with report.about("reward", f"of {len(steps)} steps, {reward_space.shape[0]} objectives"):
        for call in steps:
            _check_reward(report, reward_space, call)
    if steps and not any(f.status == "fix" and f.subject == "reward" for f in report.findings):
        rewards = np.stack([call.was[1] for call in steps])
        note_lost(report, "reward", rewards, "subtract a constant from it")
    with report.about("info"):
        for call in calls:
            if not isinstance(call.info, dict):
                report.fix("info", f"must be a dictionary, not a {type(call.info).__name__} ({call.when})")
    if mask_of(calls[0].obs, calls[0].info) is not None:
        report.note(MASK, "given at each step; agents heed it, and so do these checks")
    own_limit = _time_limit(subject.env)
    with report.about("terminated and truncated"):
        for call in steps:
            # Gymnasium's TimeLimit sets its flag also where the environment terminated, which is no fault of the latter
            if call.terminated and call.truncated and call.step != own_limit:
                report.fix(
                    "terminated and truncated",
                    f"are both set at {call.when}; cut off is not over, or a learner takes the state for worthless",
                )
    with report.about("time limit", f"{subject.limit or own_limit or 'none'}"):
        _check_limit(report, steps, subject.limit, own_limit)
    with report.about("shared objects"):
        _check_shared(report, calls)


def _check_observation(report: Report, space: Space[Any], call: Call) -> None:
    obs = call.was[0]
    if not space.contains(obs):
        kind = f"{obs.dtype}, shape {obs.shape}" if isinstance(obs, np.ndarray) else type(obs).__name__
        report.fix("observations", f"{short(obs)} ({kind}) at {call.when} is not in {space}")


def _check_reward(report: Report, space: spaces.Box, call: Call) -> None:
    reward = call.was[1]
    allowed = f"must be a NumPy array of {space.dtype} and shape {space.shape}"
    if not isinstance(reward, np.ndarray):
        report.fix("reward", f"{allowed}, not a {type(reward).__name__} ({call.when})")
    elif reward.shape != space.shape:
        report.fix("reward", f"{allowed}, not of shape {reward.shape} ({call.when})")
    elif reward.dtype != space.dtype:
        report.fix("reward", f"{allowed} as reward_space says, not of {reward.dtype} ({call.when})")
    elif not np.isfinite(reward).all():
        report.fix("reward", f"{reward.tolist()} is not finite ({call.when})")
    else:
        if outside(reward, space).any():
            report.fix(
                "reward", f"{reward.tolist()} at {call.when} is outside of reward_space {space}: widen its bounds"
            )


def _time_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the steps after which a ``TimeLimit`` among the wrappers truncates, or None."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return int(env._max_episode_steps)
        env = env.env
    return None


def _check_limit(report: Report, steps: list[Call], limit: int | None, own_limit: int | None) -> None:
    ends = [call for call in steps if call.ended]
    expected = limit or own_limit
    if expected is None:
        if not ends:
            report.note("time limit", f"{ENDLESS.format(len(steps))}; register it with max_episode_steps")
        return
    check_terminations_at_limit(
        report, [(call.step, bool(call.terminated) and not call.truncated) for call in ends], expected
    )
    for call in steps:
        if call.step == own_limit and not call.ended:
            report.fix("time limit", f"{call.when} is the last one of its TimeLimit but is not truncated")


def _check_shared(report: Report, calls: list[Call]) -> None:
    """Add findings for returned objects that changed later, or that were returned twice."""
    seen: dict[tuple[str, int], Call] = {}
    for call in calls:
        for name, now, was in zip(
            ("observation", "reward", "info"), (call.obs, call.reward, call.info), call.was, strict=True
        ):
            if not same(now, was):
                report.fix(
                    "shared objects", f"the {name} of {call.when} changed afterwards: return a copy, new each time"
                )
            for place in _places(now):
                other = seen.setdefault((name, place), call)
                if other is not call:
                    report.fix(
                        "shared objects",
                        f"the {name} of {other.when} and of {call.when} are one object: return new ones",
                    )


def _places(data: Any) -> Iterator[int]:
    """Yield the addresses of mutable parts of an object."""
    if isinstance(data, np.ndarray):
        if data.size and data.flags.writeable:
            yield data.__array_interface__["data"][0]
    elif isinstance(data, dict | list):
        yield id(data)
    if isinstance(data, dict | list | tuple):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _places(part)


def _check_repeats(
    report: Report, subject: Subject, seed: int, actions: list[Any], calls: list[Call], moved: str
) -> None:
    with report.about("global random state", "untouched"):
        start_generators(1)
        apart = difference(calls, play(subject, seed, copied(actions)))
        start_generators(0)
        alike = difference(calls, play(subject, seed, copied(actions)))
        if moved or (apart and not alike):
            what = f"{moved} was drawn from" if moved else f"decides the {apart}"
            report.fix("global random state", f"{what}: draw from self.np_random, which reset(seed=) seeds")
    with report.about("same seed", "observations, rewards and flags, in this instance and in another"):
        if alike:
            _told(report, subject, f"gave another {alike} in the same instance: let nothing of other episodes in")
        elif subject.build is None:
            report.note("same seed", "in another instance not looked at: give the class or a function that makes it")
        else:
            other = subject.build()
            start_generators(0)
            apart = difference(calls, play(Subject(other, None, subject.limit), seed, copied(actions)))
            report.closes(other.close)
            if apart:
                _told(report, subject, f"gave another {apart} in another instance")
        if not difference(calls, play(subject, seed + 1, copied(actions))):
            report.note("randomness", "none: another seed changed nothing")


def _told(report: Report, subject: Subject, what: str) -> None:
    text = f"reset(seed=) and the same actions {what}; draw from self.np_random after super().reset(seed=seed)"
    if subject.nondeterministic:
        report.note("same seed", f"{text}; registered as nondeterministic")
    else:
        report.fix("same seed", text)


def _check_registration(report: Report, subject: Subject, calls: list[Call]) -> None:
    known, size = subject.registered, subject.env.get_wrapper_attr("reward_space").shape[0]
    with report.about("registration"):
        if known is None:
            report.note("objectives", "have no names and there is no reference point: morl.register_env gives it both")
        elif len(known.objectives) != size:
            report.fix("registration", f"names {len(known.objectives)} objectives; the reward has {size}")
        elif not any(f.status == "fix" and f.subject == "reward" for f in report.findings):
            returns: dict[int, NDArray[Any]] = {}
            for call in calls:
                if call.step:
                    returns[call.episode] = (
                        returns.get(call.episode, 0.0) + known.gamma ** (call.step - 1) * call.was[1]
                    )
            vector_returns = np.stack(list(returns.values()))
            check_reference_point(report, known.reference_point, known.objective_names, vector_returns)


class _Scalar(LinearReward):
    """Sum of the rewards, for Gymnasium's checker.

    The flags are Python's bools, which the checker requires. A masked action, which the checker does not know of, is
    replaced by an allowed one.
    """

    _mask: Any = None

    def reset(self, **kwargs: Any) -> Any:
        obs, info = super().reset(**kwargs)
        self._mask = mask_of(obs, info)
        return obs, info

    def step(self, action: Any) -> Any:
        action = allowed_action(action, self._mask, self.action_space)
        obs, reward, terminated, truncated, info = super().step(action)
        self._mask = mask_of(obs, info)
        return obs, reward, bool(terminated), bool(truncated), info


def check_by_gymnasium(report: Report, env: gymnasium.Env[Any, Any]) -> None:
    """Run Gymnasium's own checker on ``env``, which it closes; its warnings become notes.

    Raises:
        Fault: an assertion of the checker failed.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(_Scalar(env), skip_render_check=True)
        except AssertionError as error:
            raise Fault(_first_line(error)) from error
    for text in dict.fromkeys(_first_line(warning.message) for warning in caught):
        if "different from the unwrapped version" not in text:  # caused by the wrapper
            report.note("Gymnasium advises", text)


def _first_line(message: object) -> str:
    return re.sub(r"\x1b\[\d+m|WARN: ", "", (str(message).splitlines() or [""])[0])
