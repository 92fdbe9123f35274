"""Does an environment keep its promises? What ``morl check-env`` asks, and a user's own tests can."""

from __future__ import annotations

import contextlib
import copy
import random
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from morl.environments import make
from morl.envs.from_gymnasium import HostEnvironment
from morl.envs.wrappers import LinearReward
from morl.errors import UserError
from morl.registry import Backend

STEPS = 1000  # random ones
EPISODES = 3
UNBOUNDED = 100.0  # random actions go so far where the space does not end


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        status: ``ok``, ``fix`` (to be mended), ``note`` (for information).
        subject: what was looked at.
        text: what was seen and, to be mended, what to do.
    """

    status: Literal["ok", "fix", "note"]
    subject: str
    text: str = ""


class Report:
    """Findings in the order of the checks; one of a kind is enough."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def fix(self, subject: str, text: str) -> None:
        """Something to be mended; only the first of a subject is kept."""
        if not any(f.subject == subject and f.status == "fix" for f in self.findings):
            self.findings.append(Finding("fix", subject, text))

    def note(self, subject: str, text: str) -> None:
        """Something to know."""
        self.findings.append(Finding("note", subject, text))

    @contextlib.contextmanager
    def about(self, subject: str, told: str = "") -> Iterator[None]:
        """``ok`` unless the block finds something to be mended; what the environment raises is that too."""
        before = len(self.findings)
        try:
            yield
        except Exception as error:  # of any kind: it is the environment's
            self.fix(subject, f"raised {type(error).__name__}: {_first_line(error)} ({_where(error)})")
        if not any(f.status == "fix" for f in self.findings[before:]):
            self.findings.insert(before, Finding("ok", subject, told))

    def passed(self) -> bool:
        """Nothing is to be mended."""
        return not any(f.status == "fix" for f in self.findings)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}"


def check_env(env: Any, backend: Backend | None = None, seed: int = 0) -> Report:
    """Check an environment, and say what is to be mended.

    >>> print(check_env("deep-sea-treasure-v0").findings[0])
    Finding(status='ok', subject='attributes', text='spaces, objectives, reference point, parameters')

    Args:
        env: an id as :func:`morl.make` takes it, a functional environment, or what makes a Gymnasium environment (its
            class, for example). MO-Gymnasium's are checked as they come, without our repairs.
        backend: of an id, which of the two environments if there are two.
        seed: of resets, keys and actions.

    Raises:
        UserError: no such environment.
    """
    report = Report()
    made = make(env, backend) if isinstance(env, str) else env
    if isinstance(made, HostEnvironment):
        check_gymnasium(report, partial(_make_as_it_comes, made), seed)
    elif hasattr(made, "default_params"):
        from morl.envs.checking_jax import check_functional

        check_functional(report, made, seed)
        if report.passed():
            check_gymnasium(report, partial(_adapted, made), seed)
    elif callable(made):
        check_gymnasium(report, made, seed)
    else:
        raise UserError(f"env must be an id, a functional environment or what makes a Gymnasium one, not {env!r}")
    return report


def _make_as_it_comes(env: HostEnvironment) -> gymnasium.Env[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as when it is used
        made: gymnasium.Env[Any, Any] = gymnasium.make(env.spec, disable_env_checker=True)
    return made


def _adapted(env: Any) -> gymnasium.Env[Any, Any]:
    from morl.envs.to_gymnasium import GymnasiumEnv

    adapted = GymnasiumEnv(env)
    return adapted if env.max_episode_steps is None else gymnasium.wrappers.TimeLimit(adapted, env.max_episode_steps)


def check_gymnasium(report: Report, make: Callable[[], gymnasium.Env[Any, Any]], seed: int = 0) -> None:
    """Checks of an environment behind Gymnasium's interface.

    Args:
        report: where findings go.
        make: makes the environment, another one at each call.
        seed: of the resets and the actions.
    """
    with _global_generators():
        _check_gymnasium(report, make, seed)


def _check_gymnasium(report: Report, make: Callable[[], gymnasium.Env[Any, Any]], seed: int) -> None:
    env = make()
    with report.about("spaces"):
        _check_spaces(report, env)
    if not report.passed():
        return  # nothing else can be told
    size = env.get_wrapper_attr("reward_space").shape[0]
    with report.about("Gymnasium's own checker", "on the sum of the rewards"):
        _check_by_gymnasium(report, make)
    with report.about("rewards and observations", f"{STEPS} random steps, {size} rewards"):
        ends = _check_steps(report, env, seed)
    with report.about("the same seed repeats", "rewards, observations and flags, in this and in another instance"):
        _check_repeats(report, make, seed)
    if report.passed() and not ends:
        limit = env.spec.max_episode_steps if env.spec else None
        report.note(
            "ends", f"no episode ended in {STEPS} steps" + ("" if limit else "; register it with max_episode_steps")
        )
    env.close()


def _check_spaces(report: Report, env: gymnasium.Env[Any, Any]) -> None:
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name, None), Space):
            report.fix(name, f"must be a gymnasium.Space, not {getattr(env, name, None)!r}")
    space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.shape[0] < 2:
        report.fix("reward_space", f"must be a gymnasium.spaces.Box of shape (R,) with R >= 2, not {space!r}")
    elif not np.issubdtype(space.dtype, np.floating):
        report.fix("reward_space", f"must be of floats, not of {space.dtype}")


def _check_by_gymnasium(report: Report, make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
    env = make()
    bare = env
    while isinstance(bare, TimeLimit | OrderEnforcing):  # what gymnasium.make adds, and its checker advises against
        bare = bare.env
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            gymnasium_check_env(LinearReward(bare), skip_render_check=True)
        except AssertionError as error:
            report.fix("Gymnasium's own checker", _first_line(error))
    for warning in caught:
        text = re.sub(r"\x1b\[\d+m|WARN: ", "", str(warning.message).splitlines()[0])
        if "different from the unwrapped version" not in text:  # it is our wrapper that is meant
            report.note("Gymnasium advises", text)
    env.close()


def _random_action(space: Space[Any], rng: np.random.Generator) -> Any:
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = np.maximum(space.low, -UNBOUNDED), np.minimum(space.high, UNBOUNDED)
        return rng.uniform(low, high).astype(space.dtype)
    return space.sample()


def _check_steps(report: Report, env: gymnasium.Env[Any, Any], seed: int) -> int:
    """Random episodes; how many ended."""
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    reward_space = env.get_wrapper_attr("reward_space")
    handed: list[tuple[str, int, Any, Any]] = []  # kind, step, the object, a copy of what it was
    ends, start, length = 0, True, 0
    for step in range(STEPS):
        if start:
            obs, info = env.reset(seed=seed if step == 0 else None)
            length = 0
            _check_observation(report, env, obs, "reset")
            handed += [("observation", step, obs, copy.deepcopy(obs)), ("info", step, info, copy.deepcopy(info))]
        length += 1
        obs, reward, terminated, truncated, info = env.step(_random_action(env.action_space, rng))
        when = f"step {length} of an episode"
        _check_observation(report, env, obs, when)
        _check_reward(report, reward, reward_space, when)
        flag: Any
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_):
                report.fix(name, f"must be a bool, not {flag!r} ({when})")
        if terminated and truncated:
            report.fix(
                "terminated and truncated",
                f"are both set at {when}; a time limit only truncates, or a learner takes the state for worthless",
            )
        if len(handed) < 100:
            objects = (("observation", obs), ("reward", reward), ("info", info))
            handed += [(kind, step, thing, copy.deepcopy(thing)) for kind, thing in objects]
        start = bool(terminated or truncated)
        ends += start
    _check_handed(report, handed)
    return ends


def _check_observation(report: Report, env: gymnasium.Env[Any, Any], obs: Any, when: str) -> None:
    if not env.observation_space.contains(obs):
        kind = f"{obs.dtype}, shape {obs.shape}" if isinstance(obs, np.ndarray) else type(obs).__name__
        text = " ".join(str(obs).split())
        report.fix("observation", f"{text[:80]} ({kind}) at {when} is not in {env.observation_space}")


def _check_reward(report: Report, reward: Any, space: spaces.Box, when: str) -> None:
    if not isinstance(reward, np.ndarray):
        report.fix("reward", f"must be a NumPy array of shape {space.shape}, not a {type(reward).__name__} ({when})")
    elif reward.shape != space.shape:
        report.fix("reward", f"must have shape {space.shape}, not {reward.shape} ({when})")
    elif not np.issubdtype(reward.dtype, np.floating):
        report.fix("reward", f"must be of floats, not of {reward.dtype} ({when})")
    elif not np.isfinite(reward).all():
        report.fix("reward", f"{reward.tolist()} is not finite ({when})")
    else:
        slack = 1e-5 * np.maximum(1.0, np.abs(reward))
        if (reward < space.low - slack).any() or (reward > space.high + slack).any():
            report.fix("reward", f"{reward.tolist()} at {when} is outside of reward_space {space}: widen its bounds")


def _check_handed(report: Report, handed: list[tuple[str, int, Any, Any]]) -> None:
    """Nothing that was handed out may change later, nor be handed out twice."""
    seen: dict[int, int] = {}
    for kind, step, thing, before in handed:
        if not data_equivalence(thing, before):
            report.fix(f"shared {kind}", f"that of step {step} changed later: return a copy, a new one at each step")
        if isinstance(thing, np.ndarray | dict) and seen.setdefault(id(thing), step) != step:
            report.fix(f"shared {kind}", f"steps {seen[id(thing)]} and {step} gave the same object: return a new one")


def _trajectory(env: gymnasium.Env[Any, Any], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    rows: list[Any] = []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        rows.append(copy.deepcopy(obs))
        for _ in range(STEPS // EPISODES):
            obs, reward, terminated, truncated, _ = env.step(_random_action(env.action_space, rng))
            rows.append(copy.deepcopy((obs, np.asarray(reward), bool(terminated), bool(truncated))))
            if terminated or truncated:
                break
    return rows


def _check_repeats(report: Report, make: Callable[[], gymnasium.Env[Any, Any]], seed: int) -> None:
    env, other = make(), make()
    first = _trajectory(env, seed)
    if not _same(first, _trajectory(other, seed)) or not _same(first, _trajectory(env, seed)):
        report.fix(
            "the same seed repeats",
            "reset(seed=) and the same actions gave something else: draw from self.np_random after"
            " super().reset(seed=seed), and start every episode from nothing but that",
        )
    before = _global_state()
    _trajectory(env, seed)
    if _global_state() != before:
        report.fix("global random state", "was drawn from (numpy.random or random): draw from self.np_random")
    env.close()
    other.close()


def _same(one: list[Any], two: list[Any]) -> bool:
    return len(one) == len(two) and all(data_equivalence(a, b) for a, b in zip(one, two, strict=True))


@contextlib.contextmanager
def _global_generators() -> Iterator[None]:
    """Puts the global generators back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def _global_state() -> bytes:
    state: Any = np.random.get_state()  # noqa: NPY002
    return repr((state[1].tolist(), state[2:], random.getstate())).encode()
