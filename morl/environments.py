"""Making of environments by id, and registration with Gymnasium. JAX is imported only to make an environment."""

from __future__ import annotations

import builtins
import contextlib
import difflib
import importlib
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

import gymnasium
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec

from morl import registry
from morl.errors import UserError, unknown_keyword, unknown_name
from morl.guard import constructed
from morl.registry import SUITES, Backend, EnvSpec, SuiteSpec, env_spec, env_specs, import_user_module, load, suite_of

if TYPE_CHECKING:
    from morl.envs.base import Environment
    from morl.envs.gymnasium.from_gymnasium import HostEnvironment

NAMESPACE = "morl/"  # prefix of our ids in Gymnasium's registry


@overload
def make(id: str, backend: Literal["jax"], **kwargs: Any) -> Environment[Any, Any]: ...
@overload
def make(id: str, backend: Literal["host"], **kwargs: Any) -> HostEnvironment: ...
@overload
def make(id: str, backend: Backend | None = None, **kwargs: Any) -> Environment[Any, Any] | HostEnvironment: ...
def make(id: str, backend: Backend | None = None, **kwargs: Any) -> Environment[Any, Any] | HostEnvironment:
    """Make the environment of that id: in JAX where the library has it, else from Gymnasium's registry on the host.

    Args:
        id: an id that ``morl envs`` lists, of MO-Gymnasium, or of any environment with a vector reward that is
            registered with Gymnasium; ``module:id`` first imports ``module``, which registers it. ``module:Name`` is
            a class or function of the module that makes an environment, or an environment itself. ``suite:name`` is an
            environment of another suite (:data:`morl.registry.SUITES`), which takes ``objectives`` and ``reward``
            (:func:`morl.envs.suites.adapter.make`).
        backend: ``"jax"`` or ``"host"`` to require one of them.
        kwargs: keywords of the environment; a host environment also takes Gymnasium's ``max_episode_steps``.

    Raises:
        UserError: unknown id, backend or keyword; no such backend for this id; a scalar reward.
        MissingExtraError: the environment needs an optional package that is not installed.

    >>> make("deep-sea-treasure-v0", map="concave").id
    'deep-sea-treasure-concave-v0'
    """
    if of_suite := suite_of(id):
        return _note_maker(_of_suite(*of_suite, backend, kwargs), id, kwargs)
    named = named_object(id)
    if named is not None:
        from morl.envs.objects import from_object

        given = from_object(named, kwargs, id)
        if backend not in (None, given.backend):
            raise UserError(f"{id!r} has no {backend} back-end; allowed backend: {given.backend}")
        return cast("Environment[Any, Any] | HostEnvironment", given.env)
    spec = find(id, backend)
    if isinstance(spec, EnvSpec):
        entry_point = load(cast(str, spec.entry_point))
        check_keywords(spec.id, entry_point, kwargs)
        keywords = {name: _as_tuple(value) for name, value in kwargs.items()}
        env = constructed(entry_point, spec.id, **{**spec.kwargs, **keywords})
        return _note_maker(cast("Environment[Any, Any]", env), id, kwargs)
    from morl.envs.gymnasium.from_gymnasium import host_environment

    return host_environment(spec, kwargs)


def _of_suite(suite: SuiteSpec, name: str, backend: Backend | None, kwargs: Mapping[str, Any]) -> Environment[Any, Any]:
    """Return an environment of another suite.

    Raises:
        UserError: see :func:`make`.
    """
    if backend == "host":
        raise UserError(f"'{suite.name}:{name}' is compiled with JAX; allowed backend: jax")
    from morl.envs.suites import adapter

    return cast("Environment[Any, Any]", adapter.make(suite, name, kwargs))


_MADE_BY = "_morl_made_by"


def _note_maker(env: Environment[Any, Any], id: str, kwargs: Mapping[str, Any]) -> Environment[Any, Any]:
    """Return an environment in JAX with a note of what it was made from, for :func:`made_by`."""
    with contextlib.suppress(AttributeError, TypeError):  # of an environment that takes no attributes
        object.__setattr__(env, _MADE_BY, (builtins.id(env), id, dict(kwargs)))  # most are frozen
    return env


def made_by(env: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the id and the keywords that :func:`make` made an environment in JAX from; None of another."""
    made = getattr(env, _MADE_BY, None)
    return (made[1], dict(made[2])) if made and made[0] == builtins.id(env) else None  # a changed copy has it too


def named_object(id: str) -> Any | None:
    """Return the class, function or environment that ``module:Name`` names; None where it is an id.

    Raises:
        UserError: a module that cannot be imported.
    """
    module, _, name = id.rpartition(":")
    if not module or not name.isidentifier():
        return None
    return getattr(_imported(module, id), name, None)


def _imported(module: str, id: str) -> ModuleType:
    """Import the module in an id.

    Raises:
        UserError: it cannot be imported; the nearest suite is named, which it may have been meant for.
    """
    try:
        return import_user_module(module, f"environment {id!r}")
    except UserError as error:
        near = difflib.get_close_matches(module, SUITES, n=1)
        missing = getattr(error.__cause__, "name", None) == module  # and not what the module imports
        if missing and "." not in module:
            hint = f"did you mean {near[0]}? Suites" if near else "suites"
            raise UserError(f"{error}; {hint}: {', '.join(SUITES)}") from error
        raise


def find(id: str, backend: Backend | None = None) -> EnvSpec | GymnasiumSpec:
    """Return the registration of an id: the library's for an environment in JAX, else Gymnasium's.

    Raises:
        UserError: unknown id or backend; no such backend for this id; a module that cannot be imported.
    """
    if backend is not None and backend not in get_args(Backend):
        raise UserError(f"unknown backend {backend!r}; allowed: {', '.join(get_args(Backend))}")
    if id.startswith("<"):
        raise UserError(
            f"the environment {id} is an object of a Python program and has no id that makes it again; give it there, "
            "as env: morl.load(run, env=object)"
        )
    module, _, name = id.rpartition(":")
    imported = _imported(module, id) if module else None
    if backend != "host" and name.startswith(NAMESPACE):
        name, backend = name.removeprefix(NAMESPACE), "jax"
    spec = env_spec(name)
    if spec is not None and spec.entry_point is not None and (backend or spec.backend) == "jax":
        return spec
    host_spec = _gymnasium_spec(name, imported)
    if backend == "jax":
        raise UserError(f"{name!r} has no JAX-native environment; allowed backend: host")
    return host_spec


def _as_tuple(value: Any) -> Any:
    """Return tuples for lists, also nested, so that an environment that holds them can be hashed."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value


def check_keywords(
    id: str, entry_point: Callable[..., Any], kwargs: Mapping[str, Any], also: Iterable[str] = ()
) -> None:
    """Check that ``entry_point`` takes these keywords, or that they are in ``also``.

    Raises:
        UserError: another keyword; the message lists the allowed ones.
    """
    try:
        parameters = inspect.signature(entry_point).parameters.values()
    except (TypeError, ValueError):  # of a builtin, for example: what it takes is not known
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    allowed = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)] + list(also)
    for name in kwargs:
        if name not in allowed:
            raise unknown_keyword(id, name, allowed)


def register_env(spec: EnvSpec) -> EnvSpec:
    """Add an environment to the library, and to Gymnasium as ``morl/<id>`` where it has an entry point.

    Raises:
        UserError: another environment has that id; or the id of one with an entry point is not a plain name.
    """
    if spec.entry_point is not None and not re.fullmatch(r"[\w.-]+", spec.id):
        raise UserError(f"environment id {spec.id!r} must be letters, digits, '_', '.' and '-', such as my-env-v0")
    registry.register_env(spec)
    if spec.entry_point is not None and NAMESPACE + spec.id not in gymnasium.registry:
        gymnasium.register(
            NAMESPACE + spec.id,
            entry_point="morl.envs.gymnasium.to_gymnasium:GymnasiumEnv",
            vector_entry_point="morl.envs.gymnasium.to_gymnasium:GymnasiumVectorEnv",
            max_episode_steps=spec.max_episode_steps,
            disable_env_checker=True,  # the checker refuses vector rewards
            kwargs={"env": spec.id},
        )
    return spec


def register_all() -> None:
    """Register every JAX-native environment of ours with Gymnasium, for ``make`` and ``make_vec``.

    Entry points are strings, so only Gymnasium is imported. Repeated calls have no effect.
    """
    for spec in env_specs(plug_ins=False).values():
        register_env(spec)


def _gymnasium_spec(name: str, module: ModuleType | None = None) -> GymnasiumSpec:
    """Return Gymnasium's registration of an id, MO-Gymnasium's environments included.

    Args:
        name: the id.
        module: the user's module that was to register it, whose own names an error then suggests.

    Raises:
        UserError: unknown id, or an environment in JAX only.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting when imported
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")  # and opens the sound card
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pygame's own imports warn
        importlib.import_module("mo_gymnasium")
    if name in gymnasium.registry:
        return gymnasium.registry[name]
    ours = env_specs()
    if name in ours:
        raise UserError(f"{name!r} has no environment in Gymnasium's registry; allowed backend: {ours[name].backend}")
    if module is not None:
        prefix = f"{module.__name__}:"
        raise unknown_name("environment", prefix + name, {prefix + each for each in _names_of(module)})
    raise unknown_name("environment", name, {*ours, *filter(_may_be_multi_objective, gymnasium.registry)})


def _names_of(module: ModuleType) -> Iterator[str]:
    """Yield what may name an environment of a user's module: its classes and functions, and the ids of its classes."""
    for name, value in vars(module).items():
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield name
    specs: list[Any] = [*gymnasium.registry.values(), *env_specs().values()]
    for spec in specs:
        if str(spec.entry_point).startswith(f"{module.__name__}:"):
            yield spec.id


def _may_be_multi_objective(id: str) -> bool:
    """Return whether to suggest an id of Gymnasium's registry, whose own environments have scalar rewards."""
    entry_point = gymnasium.registry[id].entry_point
    where = entry_point if isinstance(entry_point, str) else entry_point.__module__
    return not where.startswith("gymnasium.") and not id.startswith(NAMESPACE)
