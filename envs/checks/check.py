"""Check of an environment against its contract, for ``morl check-env`` and for a user's own tests."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import DependencyNotInstalled

from morl.environments import find, make, named_object
from morl.envs.checks.episodes import Builder, Subject
from morl.envs.checks.generators import global_generators_restored
from morl.envs.checks.gymnasium import check_by_gymnasium, check_gymnasium
from morl.envs.checks.jax import check_functional
from morl.envs.checks.report import Fault, Finding, Report
from morl.envs.gymnasium.from_gymnasium import description
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.errors import UserError
from morl.registry import Backend, EnvSpec, env_spec

DEFAULT_GAMMA = 0.99  # of an environment without a registration


def check_env(env: Any, backend: Backend | None = None, seed: int = 0) -> Report:
    """Check an environment and report what to fix.

    In a test: ``report = check_env("my_module:my-env-v0"); assert report.passed(), report``.

    >>> print(check_env("deep-sea-treasure-v0").findings[0])
    ok    attributes: spaces, objectives, reference point, parameters

    Args:
        env: an id or ``module:Name`` as :func:`morl.make` takes it, a functional environment, a Gymnasium environment,
            or a callable that makes one (such as its class). MO-Gymnasium's environments are checked without the
            library's repairs. A Gymnasium environment is reset and stepped, but not closed.
        backend: back-end to check where an id has two.
        seed: seed of resets, keys and actions.

    Raises:
        UserError: unknown id, or not an environment.
        MissingExtraError: the environment needs an optional package that is not installed.
    """
    report = Report()
    if isinstance(env, str) and (named := named_object(env)) is not None:
        env = named
    with global_generators_restored():
        if isinstance(env, str):
            _check_id(report, env, backend, seed)
        elif hasattr(env, "default_params") and not isinstance(env, type):
            _check_functional(report, env, seed)
        elif isinstance(env, gymnasium.Env):
            check_gymnasium(report, Subject(env, _builder(env), None, _nondeterministic(env)), seed)
            _check_agents(report, env, DEFAULT_GAMMA)
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


def _check_agents(report: Report, env: Any, gamma: float) -> None:
    """Add which agents can train; it must be fixed if none can.

    Args:
        report: to add to.
        env: a functional environment, or a Gymnasium environment as it comes.
        gamma: discount.
    """
    from morl.training.suitability import can_train, verdicts  # above the environments, as agents are

    subject = "agents"
    if not report.passed():
        report.skip(subject, "fix the above first")
        return
    try:
        if isinstance(env, gymnasium.Env):
            env = description(env, env.spec.id if env.spec else type(env.unwrapped).__name__)
        found = verdicts(env, gamma)
    except UserError as error:
        report.fix(subject, f"none can train: {error}")
        return
    if not can_train(found):
        reasons = "; ".join(f"{', '.join(verdict.agents)}: {verdict.reason}" for verdict in found)
        report.fix(subject, f"none can train; {reasons}")
    for verdict in found if can_train(found) else []:
        names = ", ".join(verdict.agents)
        if verdict.reason:
            report.note(subject, f"{names}: cannot: {verdict.reason}")
        else:
            report.findings.append(Finding("ok", subject, f"{names}: can train"))
        for note in verdict.notes:
            report.note(subject, f"{names}: {note}")


def _make_as_it_comes(spec: GymnasiumSpec) -> gymnasium.Env[Any, Any]:
    """Make an environment without Gymnasium's time limit, to see the flags that it sets itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in training
        env: gymnasium.Env[Any, Any] = gymnasium.make(spec, disable_env_checker=True, max_episode_steps=-1)
    return env


def _check_made(report: Report, build: Builder, seed: int, spec: GymnasiumSpec | None = None) -> None:
    made: list[Any] = []
    with report.about("made"):
        made.append(_made(build, spec))
    if not made:
        return
    env = made[0]
    if hasattr(env, "default_params"):
        _check_functional(report, env, seed)
        return
    limit, registered = (spec.max_episode_steps, env_spec(spec.id)) if spec else (None, None)
    try:
        check_gymnasium(report, Subject(env, build, limit, _nondeterministic(env), registered), seed)
        _check_agents(report, env, registered.gamma if registered else DEFAULT_GAMMA)
    finally:
        report.closes(env.close)


def _made(build: Callable[[], Any], spec: GymnasiumSpec | None) -> Any:
    try:
        env = build()
    except (ImportError, DependencyNotInstalled):
        if spec is not None:
            make(spec.id, "host")  # raises an error that names the extra
        raise
    if not isinstance(env, gymnasium.Env) and not hasattr(env, "default_params"):
        raise Fault(f"must be a gymnasium.Env or a functional environment, not {type(env).__name__}")
    return env


def _check_functional(report: Report, env: Any, seed: int, registered: EnvSpec | None = None) -> None:
    check_functional(report, env, seed, registered)
    subject = "Gymnasium's own checker"
    if report.passed():
        with report.about(subject, "on the adapter, with the sum of the rewards"):
            check_by_gymnasium(report, GymnasiumEnv(env))
    else:
        report.skip(subject, "fix the above first")
    _check_agents(report, env, registered.gamma if registered else DEFAULT_GAMMA)


def _builder(env: gymnasium.Env[Any, Any]) -> Builder | None:
    """Return a function that makes another instance of an environment, or None if it has no registration."""
    spec = env.spec
    if spec is None or spec.entry_point is None:
        return None
    if env.unwrapped is not env:
        return lambda: gymnasium.make(copy.deepcopy(spec), disable_env_checker=True)
    creator: Any = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return lambda: creator(**spec.kwargs)


def _nondeterministic(env: gymnasium.Env[Any, Any]) -> bool:
    return env.spec is not None and env.spec.nondeterministic
