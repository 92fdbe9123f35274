"""Adapter from any Gymnasium or MO-Gymnasium environment with a vector reward to a host environment."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from morl.environments import check_keywords
from morl.envs.gymnasium.build import build, build_guarded, prepared
from morl.envs.gymnasium.host_vector import HostVectorEnv
from morl.envs.gymnasium.masked import MaskAtEnd, MaskIntoObservation, MaskJoin
from morl.envs.host.in_process import VectorRewardSync
from morl.envs.host.worker_pool import WorkerPool
from morl.errors import MissingExtraError, UserCodeError, UserError, blame, closing, unknown_keyword, user_code
from morl.registry import Objective, env_spec
from morl.spaces import Observations
from morl.words import brief_repr

# Missing module -> the extra that installs it.
_EXTRAS = {
    "mujoco": "mujoco",
    "imageio": "mujoco",
    "Box2D": "box2d",
    "highway_env": "highway",
}

_UNUSABLE = {"mo-supermario-v0": "its emulator nes-py fails with NumPy 2 (8.2.1 and all before)"}


@dataclass(frozen=True, eq=False)
class HostEnvironment:
    """Environment that runs on the host, in Python; made by :func:`morl.make`.

    Attributes:
        id: name in Gymnasium's registry.
        observation_space, action_space: spaces of one environment; ``Dict`` and ``Tuple`` observations are flattened,
            and a mask of actions is at their end.
        given_space: observation space before it is flattened, as Gymnasium gives it.
        reward_space: ``Box`` of shape (R,).
        objectives: name and unit of each of the R rewards; ``objective_0`` ... without a registration.
        max_episode_steps: steps after which an episode is truncated; ``None`` for no limit.
        reference_point: (R,) for the hypervolume, ``None`` without a registration.
        metadata: ``render_modes`` and ``render_fps``.
        spec: Gymnasium's registration.
        kwargs: keywords that it is made with.
        action_mask: function from observations (..., F) to masks (..., n) int8 of the allowed actions, or None.
        join: function from observations as Gymnasium gives them, and masks, to those with the masks at their end, or
            None.
    """

    id: str
    observation_space: Space[Any]
    given_space: Space[Any]
    action_space: Space[Any]
    reward_space: spaces.Box
    objectives: tuple[Objective, ...]
    max_episode_steps: int | None
    reference_point: NDArray[np.float64] | None
    metadata: Mapping[str, Any]
    spec: EnvSpec
    kwargs: Mapping[str, Any]
    action_mask: MaskAtEnd | None = None
    join: MaskJoin | None = None
    __repr__ = brief_repr

    def make_vector(
        self,
        num_envs: int,
        processes: int = 0,
        restarts: int = 0,
        *,
        threads: int | None = None,
        finite: bool = True,
        observations: Observations | None = None,
    ) -> HostVectorEnv:
        """Make ``num_envs`` environments that are stepped together.

        Args:
            num_envs: B.
            processes: number of worker processes, up to ``num_envs``; 0 steps the environments in this process.
                Episodes do not depend on it. Workers are spawned: a script must guard its entry by
                ``if __name__ == "__main__":``.
            restarts: largest number of replacements of a worker that ends, raises or hangs; see
                :attr:`.HostStep.lost`.
            threads: that step the environments of one process side by side, for environments that share nothing. By
                default one for each core where MO-Gymnasium's MuJoCo steps in this process, else one. Episodes do not
                depend on it.
            finite: refuse rewards that are not finite.
            observations: turns observations into what agents see; by default they are as the environment gives them.

        Raises:
            UserError: a number out of range, or, also in later calls, an error in a worker.
        """
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, not {num_envs}")
        if not 0 <= processes <= num_envs:
            raise UserError(f"processes must be from 0 to num_envs ({num_envs}), not {processes}")
        if threads is not None and threads < 1:
            raise UserError(f"threads must be at least 1, not {threads}")
        build_env = partial(build_guarded, self.spec, self.kwargs, finite, self.action_mask is not None)
        size = len(self.objectives)
        envs: VectorEnv[Any, Any, Any]
        if processes:
            envs = WorkerPool(
                build_env,
                self.observation_space,
                self.action_space,
                num_envs,
                processes,
                size,
                self.id,
                restarts,
                threads=threads or 1,
            )
        else:
            envs = VectorRewardSync(build_env, num_envs, size, threads)
        return HostVectorEnv(envs, len(self.objectives), self.id, finite, observations)

    def make_single(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """Make one environment, with pictures if ``render_mode`` is given."""
        kwargs = self.kwargs if render_mode is None else {**self.kwargs, "render_mode": render_mode}
        return build_guarded(self.spec, kwargs, masked=self.action_mask is not None)


def host_environment(spec: EnvSpec, kwargs: Mapping[str, Any]) -> HostEnvironment:
    """Return the host environment of a Gymnasium registration; makes an environment to read its spaces.

    Raises:
        UserError: unknown keyword, scalar reward, an unusable environment, or one that raises when it is made.
        MissingExtraError: the environment needs an optional package that is not installed.
    """
    if spec.id in _UNUSABLE:
        raise UserError(f"{spec.id} cannot be used: {_UNUSABLE[spec.id]}")
    entry_point: Any = spec.entry_point
    try:
        if isinstance(entry_point, str):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Box2D's import warns, and aborts where warnings are errors
                entry_point = load_env_creator(entry_point)
        if entry_point is not None:
            check_keywords(spec.id, entry_point, kwargs, also=["max_episode_steps"])
        env = build(spec, kwargs)
    except UserError:
        raise
    except (ImportError, DependencyNotInstalled) as error:
        raise _missing(spec.id, error) from error
    except (Exception, SystemExit) as error:  # any exception: it is the environment's
        raise _refused(spec, entry_point, kwargs, error) from error
    with closing(env), user_code(spec.id, "an attribute of it"):
        described = _described(env, spec, kwargs)
    return described


def description(env: gymnasium.Env[Any, Any], id: str) -> HostEnvironment:
    """Return the description of an environment that was made already, for its spaces: it cannot be made again.

    Raises:
        UserError: a scalar reward, or a space that is not supported.
    """
    return _described(prepared(env, id, True), env.spec or EnvSpec(id), {})


def _described(env: gymnasium.Env[Any, Any], spec: EnvSpec, kwargs: Mapping[str, Any]) -> HostEnvironment:
    reward_space = env.get_wrapper_attr("reward_space")
    size = reward_space.shape[0]
    ours = env_spec(spec.id)
    if ours is not None and len(ours.objectives) != size:  # a keyword changed them
        ours = None
    objectives = ours.objectives if ours else tuple(Objective(f"objective_{i}") for i in range(size))
    return HostEnvironment(
        id=spec.id,
        observation_space=env.observation_space,
        given_space=_given_space(env),
        action_space=env.action_space,
        reward_space=reward_space,
        objectives=objectives,
        max_episode_steps=env.spec.max_episode_steps if env.spec else None,
        reference_point=np.array(ours.reference_point) if ours else None,
        metadata={"render_modes": [], **env.metadata},
        spec=spec,
        kwargs=dict(kwargs),
        **_masks(env, spec.id),
    )


def _given_space(env: gymnasium.Env[Any, Any]) -> Space[Any]:
    """Return the observation space before :func:`build` flattens it."""
    inner: Any = env
    while isinstance(inner, gymnasium.Wrapper):
        if isinstance(inner, gymnasium.wrappers.FlattenObservation):
            return inner.env.observation_space
        inner = inner.env
    return env.observation_space


def _masks(env: gymnasium.Env[Any, Any], id: str) -> dict[str, Any]:
    """Return the functions of :class:`HostEnvironment` about masks, none where an environment has no masks."""
    outer: Any = env
    if not isinstance(outer.env, MaskIntoObservation):
        return {}
    inner, size = outer.env.env, int(outer.action_space.n)
    if isinstance(inner, gymnasium.wrappers.FlattenObservation):
        inner = inner.env
    join = MaskJoin(inner.observation_space, outer.observation_space, size, id)
    return {"action_mask": MaskAtEnd(size), "join": join}


def _missing(id: str, error: Exception) -> UserError:
    """Return the error that says what to install for ``id``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ImportError) and cause.name in _EXTRAS:
            return MissingExtraError(id, _EXTRAS[cause.name])
        cause = cause.__cause__
    return UserError(f"{id} needs a package that is not installed: {error}")


def _refused(spec: EnvSpec, entry_point: Any, kwargs: Mapping[str, Any], error: BaseException) -> UserError:
    """Return the error for an environment that could not be made."""
    if "was raised from the environment creator" in str(error) and error.__context__ is not None:
        error = error.__context__  # Gymnasium raises another in its place
    why = str(error)
    for name in kwargs:
        if f"unexpected keyword argument '{name}'" in why:
            return unknown_keyword(spec.id, name, _keywords(entry_point))
    given = f" with {dict(kwargs)}" if kwargs else ""
    return UserCodeError(f"{spec.id} cannot be made{given}: {blame(error)}")


def _keywords(entry_point: Any) -> list[str]:
    """Return the keywords of an entry point, and of its base classes while each accepts ``**kwargs``."""
    names: dict[str, None] = {}
    for owner in inspect.getmro(entry_point) if isinstance(entry_point, type) else (entry_point,):
        parameters = inspect.signature(owner).parameters.values()
        names |= dict.fromkeys(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [*names, "max_episode_steps"]
