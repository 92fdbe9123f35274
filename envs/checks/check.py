"""Check of an environment against its contract, for ``morl check-env`` and for a user's own tests."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.envs.registration import load_env_creator
from gymnasium.error import DependencyNotInstalled

from morl import keywords
from morl.environments import check_keywords, find, make, named_object
from morl.envs.checks.episodes import Builder, Subject
from morl.envs.checks.generators import global_generators_restored
from morl.envs.checks.gymnasium import check_by_gymnasium, check_gymnasium
from morl.envs.checks.jax import check_functional
from morl.envs.checks.report import Fault, Finding, Report
from morl.envs.gymnasium.from_gymnasium import description
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.errors import UserError
from morl.registry import Backend, EnvSpec, env_spec, load, suite_of

TIME_LIMIT = "max_episode_steps"  # Gymnasium's own keyword of every registration
DEFAULT_GAMMA = 0.99  # of an environment without a registration


def check_env(
    env: Any, backend: Backend | None = None, seed: int = 0, env_kwargs: Mapping[str, Any] | None = None
) -> Report:
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
        env_kwargs: keywords of an id, a class or a function, as :func:`morl.make` takes them. What the registration
            says of the environment without them is then not compared.

    Raises:
        UserError: unknown id or keyword, or not an environment.
        MissingExtraError: the environment needs an optional package that is not installed.
    """
    report, kwargs = Report(), dict(env_kwargs or {})
    keywords.check(kwargs)
    name = env if isinstance(env, str) else getattr(env, "__name__", type(env).__name__)
    if isinstance(env, str) and not suite_of(env) and (named := named_object(env)) is not None:
        env = named
    if kwargs and not isinstance(env, str):
        if not callable(env) or isinstance(env, gymnasium.Env) or (not isinstance(env, type) and _is_functional(env)):
            raise UserError(f"env_kwargs are for an id, a class or a function; the {name} given is made already")
        check_keywords(name, env, kwargs)
        env = partial(env, **kwargs)
    with global_generators_restored():
        if isinstance(env, str):
            _check_id(report, env, backend, seed, kwargs)
        elif not isinstance(env, type) and _is_functional(env):
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


def _is_functional(env: Any) -> bool:
    return hasattr(env, "default_params")


def _check_id(report: Report, id: str, backend: Backend | None, seed: int, kwargs: Mapping[str, Any]) -> None:
    if suite_of(id):
        _check_functional(report, make(id, backend, **kwargs), seed)
        return
    spec = find(id, backend)
    if isinstance(spec, EnvSpec):
        check_keywords(spec.id, load(spec.entry_point or ""), kwargs)
        made: list[Any] = []
        with report.about("made", spec.entry_point or ""):
            made.append(make(id, backend, **kwargs))
        for env in made:
            _check_functional(report, env, seed, spec, changed=bool(kwargs))
        return
    own = {name: value for name, value in kwargs.items() if name != TIME_LIMIT}
    creator = None
    with contextlib.suppress(Exception, SystemExit):  # any exception: it is told of where it is made
        creator = _entry_point(spec)
    if creator is not None:
        check_keywords(spec.id, creator, own, also=[TIME_LIMIT])
    if TIME_LIMIT in kwargs:
        spec = dataclasses.replace(spec, max_episode_steps=kwargs[TIME_LIMIT])
    _check_made(report, partial(_make_as_it_comes, spec, own), seed, spec, changed=bool(kwargs))


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


def _make_as_it_comes(spec: GymnasiumSpec, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make an environment without Gymnasium's time limit, to see the flags that it sets itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in training
        env: gymnasium.Env[Any, Any] = gymnasium.make(spec, disable_env_checker=True, max_episode_steps=-1, **kwargs)
    return env


def _check_made(
    report: Report, build: Builder, seed: int, spec: GymnasiumSpec | None = None, *, changed: bool = False
) -> None:
    made: list[Any] = []
    with report.about("made"):
        made.append(_made(build, spec))
    if not made:
        return
    env = made[0]
    if _is_functional(env):
        _check_functional(report, env, seed)
        return
    limit, registered = (spec.max_episode_steps, env_spec(spec.id)) if spec else (None, None)
    same = None if changed else registered
    try:
        check_gymnasium(report, Subject(env, build, limit, _nondeterministic(env), same), seed)
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
    if not isinstance(env, gymnasium.Env) and not _is_functional(env):
        raise Fault(f"must be a gymnasium.Env or a functional environment, not {type(env).__name__}")
    return env


def _check_functional(
    report: Report, env: Any, seed: int, registered: EnvSpec | None = None, *, changed: bool = False
) -> None:
    check_functional(report, env, seed, registered, changed=changed)
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
    creator = _entry_point(spec)
    return lambda: creator(**spec.kwargs)


def _entry_point(spec: GymnasiumSpec) -> Any:
    return load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point


def _nondeterministic(env: gymnasium.Env[Any, Any]) -> bool:
    return env.spec is not None and env.spec.nondeterministic
