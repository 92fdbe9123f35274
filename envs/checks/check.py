"""Does an environment keep its promises? What ``morl check-env`` asks, and a user's own tests can."""

from __future__ import annotations

import contextlib
import copy
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from morl.environments import find, make
from morl.errors import MissingExtraError, UserError, blame
from morl.registry import Backend, EnvSpec, env_spec

Builder = Callable[[], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        status: ``ok``, ``fix`` (to be mended), ``note`` (for information), ``skip`` (not looked at).
        subject: what was looked at.
        text: what was seen and, to be mended, what to do; why it was skipped.
    """

    status: Literal["ok", "fix", "note", "skip"]
    subject: str
    text: str = ""

    def __str__(self) -> str:
        status = "FIX" if self.status == "fix" else self.status
        return f"{status:<4}  {self.subject}{f': {self.text}' if self.text else ''}"


class Fault(Exception):
    """What the environment did wrong, where nothing more can be looked at because of it."""


class Report:
    """Findings in the order of the checks; ``str`` has them line by line."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def fix(self, subject: str, text: str) -> None:
        """Something to be mended; only the first of a subject is kept."""
        if not any(f.subject == subject and f.status == "fix" for f in self.findings):
            self.findings.append(Finding("fix", subject, " ".join(text.split())))

    def note(self, subject: str, text: str) -> None:
        """Something to know."""
        self.findings.append(Finding("note", subject, " ".join(text.split())))

    def skip(self, subject: str, why: str) -> None:
        """Something that was not looked at."""
        self.findings.append(Finding("skip", subject, why))

    @contextlib.contextmanager
    def about(self, subject: str, told: str = "") -> Iterator[None]:
        """``ok`` unless the block finds something else to say; what the environment raises is to be mended."""
        before = len(self.findings)
        try:
            yield
        except Fault as fault:
            self.fix(subject, str(fault))
        except MissingExtraError:  # to be installed, not mended
            raise
        except Exception as error:  # of any kind: it is the environment's
            self.fix(subject, f"raised {blame(error)}")
        if not any(f.status in ("fix", "skip") for f in self.findings[before:]):
            self.findings.insert(before, Finding("ok", subject, told))

    def passed(self) -> bool:
        """Nothing is to be mended."""
        return not any(f.status == "fix" for f in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


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


def check_env(env: Any, backend: Backend | None = None, seed: int = 0) -> Report:
    """Check an environment, and say what is to be mended.

    In a test: ``report = check_env("my_module:my-env-v0"); assert report.passed(), report``.

    >>> print(check_env("deep-sea-treasure-v0").findings[0])
    ok    attributes: spaces, objectives, reference point, parameters

    Args:
        env: an id as :func:`morl.make` takes it, a functional environment, a Gymnasium environment, or what makes one
            (its class, for example). MO-Gymnasium's are checked as they come, without our repairs. One that is given
            made is stepped and reset, and not closed.
        backend: of an id, which of the two environments if there are two.
        seed: of resets, keys and actions.

    Raises:
        UserError: no such environment, or not one.
        MissingExtraError: it needs an optional package that is not installed.
    """
    report = Report()
    with global_generators_restored():
        if isinstance(env, str):
            _check_id(report, env, backend, seed)
        elif hasattr(env, "default_params"):
            _check_functional(report, env, seed)
        elif isinstance(env, gymnasium.Env):
            _check_gymnasium(report, Subject(env, _again(env), None, _nondeterministic(env)), seed)
        elif callable(env):
            _check_made(report, env, seed)
        else:
            raise UserError(
                "env must be an id, a functional environment, a Gymnasium environment or what makes one,"
                f" not {type(env).__name__}"
            )
    return report


def _check_id(report: Report, id: str, backend: Backend | None, seed: int) -> None:
    spec = find(id, backend)
    if isinstance(spec, EnvSpec):
        made: list[Any] = []
        with report.about("made", spec.entry_point or ""):
            made.append(make(id, backend))
        for env in made:
            _check_functional(report, env, seed, spec)
        return
    _check_made(report, partial(_make_as_it_comes, spec), seed, spec)


def _make_as_it_comes(spec: GymnasiumSpec) -> gymnasium.Env[Any, Any]:
    """Without a time limit: its flags are seen as the environment sets them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as when it is used
        env: gymnasium.Env[Any, Any] = gymnasium.make(spec, disable_env_checker=True, max_episode_steps=-1)
    return env


def _check_made(report: Report, build: Builder, seed: int, spec: GymnasiumSpec | None = None) -> None:
    made: list[gymnasium.Env[Any, Any]] = []
    with report.about("made"):
        made.append(_made(build, spec))
    if not made:
        return
    env = made[0]
    limit, registered = (spec.max_episode_steps, env_spec(spec.id)) if spec else (None, None)
    try:
        _check_gymnasium(report, Subject(env, build, limit, _nondeterministic(env), registered), seed)
    finally:
        env.close()


def _made(build: Callable[[], Any], spec: GymnasiumSpec | None) -> gymnasium.Env[Any, Any]:
    try:
        env = build()
    except (ImportError, DependencyNotInstalled):
        if spec is not None:
            make(spec.id, "host")  # says what to install
        raise
    if not isinstance(env, gymnasium.Env):
        raise Fault(f"must be a gymnasium.Env, not {type(env).__name__}")
    return env


def _check_gymnasium(report: Report, subject: Subject, seed: int) -> None:
    from morl.envs.checks.gymnasium import check_gymnasium

    check_gymnasium(report, subject, seed)


def _check_functional(report: Report, env: Any, seed: int, registered: EnvSpec | None = None) -> None:
    from morl.envs.checks.gymnasium import check_by_gymnasium
    from morl.envs.checks.jax import check_functional
    from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv

    check_functional(report, env, seed, registered)
    subject = "Gymnasium's own checker"
    if report.passed():
        with report.about(subject, "on the adapter, with the sum of the rewards"):
            check_by_gymnasium(report, GymnasiumEnv(env))
    else:
        report.skip(subject, "fix the above first")


def _again(env: gymnasium.Env[Any, Any]) -> Builder | None:
    """Makes another one of a given environment, from its registration."""
    spec = env.spec
    if spec is None or spec.entry_point is None:
        return None
    if env.unwrapped is not env:
        return lambda: gymnasium.make(copy.deepcopy(spec), disable_env_checker=True)
    creator: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return lambda: creator(**spec.kwargs)


def _nondeterministic(env: gymnasium.Env[Any, Any]) -> bool:
    return env.spec is not None and env.spec.nondeterministic


def check_reference_point(report: Report, point: Any, names: Any, returns: NDArray[Any]) -> None:
    """A note where random policies, of ``returns`` (n, R), do not do better than the reference point (R,)."""
    mean = returns.mean(axis=0)
    below = [str(name) for name, low, value in zip(names, point, mean, strict=True) if value < low]
    if below:
        report.note(
            "reference point",
            f"random actions return {np.round(mean, 3).tolist()} on average, worse than {np.asarray(point).tolist()} in"
            f" {', '.join(below)}: what is worse than it there counts nothing in the hypervolume",
        )


@contextlib.contextmanager
def global_generators_restored() -> Iterator[None]:
    """Puts NumPy's and Python's global generators back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def seed_global_generators(seed: int) -> None:
    """Start both anew."""
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def global_state() -> dict[str, Any]:
    """Where each of the global generators is, by the name of its module."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return {"numpy.random": (state[1].tobytes(), state[2:]), "random": random.getstate()}


def drawn_from(before: dict[str, Any]) -> str:
    """Names of the global generators that moved since ``before``."""
    now = global_state()
    return " and ".join(name for name in now if now[name] != before[name])
