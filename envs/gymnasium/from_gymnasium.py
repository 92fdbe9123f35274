"""Any Gymnasium or MO-Gymnasium environment with a vector reward as a host environment.

Nothing here imports JAX at load time: worker processes import this module to build their environment.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import Space, spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import ArrayLike, NDArray

from morl.environments import check_keywords
from morl.envs.host.guard import Guard, checked_reward
from morl.envs.host.in_process import VectorRewardSync
from morl.envs.host.repairs import CutOff, SeededOre, SeededStart, StillMines
from morl.envs.host.worker_pool import WorkerPool
from morl.errors import MissingExtraError, UserError, blame
from morl.registry import Objective, env_spec

# Faults of MO-Gymnasium's environments that would reach the learner.
_REPAIRS: dict[str, type[gymnasium.Wrapper[Any, Any, Any, Any]]] = {
    "fishwood-v0": CutOff,
    "four-room-v0": SeededStart,
    "minecart-v0": SeededOre,
    "minecart-rgb-v0": StillMines,
}
# Missing module -> the extra that installs it.
_EXTRAS = {
    "mujoco": "mujoco",
    "imageio": "mujoco",
    "Box2D": "box2d",
    "highway_env": "highway",
}

_UNUSABLE = {"mo-supermario-v0": "its emulator nes-py fails with NumPy 2 (8.2.1 and all before)"}


class HostStep(NamedTuple):
    """What one step of B environments gave; no row crosses the end of an episode.

    Attributes:
        next_obs: (B, ...) true successor of the observation acted on, before any reset.
        reward: (B, R) float32.
        terminated: (B,) bool, the episode ended by itself.
        truncated: (B,) bool, the episode was cut off; never set together with ``terminated``.
        obs: (B, ...) what to act on next.
        valid: (B,) bool, False where the step was only a reset, which ignored the action, where the environment rests,
            or was lost with the worker process that did it: not to be learnt from.
        lost: (B,) bool, the latter; the episode is truncated, and its reward and successor are made up.
    """

    next_obs: NDArray[Any]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    obs: NDArray[Any]
    valid: NDArray[np.bool_]
    lost: NDArray[np.bool_]


class HostVectorEnv:
    """One leak-free interface to any Gymnasium vector environment with vector rewards, in either auto-reset mode.

    Args:
        envs: a vector environment whose observations and actions are arrays. Gymnasium's own ``SyncVectorEnv`` keeps
            one number per environment and cannot carry a vector; MO-Gymnasium's ``MOSyncVectorEnv`` does.
        num_objectives: R.
        id: name to use in errors.
        finite: refuse rewards that are not; else they are the caller's to notice.

    Raises:
        UserError: auto-reset is disabled or of an unknown mode, or ``envs`` has scalar rewards.
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], num_objectives: int, id: str = "the environment", finite: bool = True
    ) -> None:
        self._mode = envs.metadata.get("autoreset_mode")
        if self._mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            allowed = "AutoresetMode.SAME_STEP or NEXT_STEP"
            raise UserError(f"{id}: vector environment with auto-reset mode {self._mode}; allowed: {allowed}")
        if type(envs.unwrapped) is SyncVectorEnv:
            raise UserError(
                f"{id}: gymnasium.vector.SyncVectorEnv keeps scalar rewards; allowed:"
                " morl.make(id, 'host').make_vector(n) or mo_gymnasium.wrappers.vector.MOSyncVectorEnv"
            )
        self.id = id
        self.num_envs = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.num_objectives = num_objectives
        self._envs = envs
        self._finite = finite
        self._step, self._once = 0, False
        self._ended: NDArray[np.bool_] | None = None

    def reset(self, seed: int | list[int] | None = None, *, once: bool = False) -> NDArray[Any]:
        """Start an episode in each environment: observations (B, ...). One seed s gives environment i seed s + i.

        After ``once`` an environment whose episode has ended rests until the next reset, which saves its steps; of
        vector environments that are not ours, only ``valid`` tells so.

        Raises:
            UserError: neither a whole number from 0 on nor B of them.
        """
        envs: Any = self._envs  # Gymnasium's vectors take a list of seeds too, which their base class does not say
        how = {"once": once} if isinstance(envs, WorkerPool | VectorRewardSync) else {}
        obs, _ = envs.reset(seed=None if seed is None else self._checked_seeds(seed), **how)
        self._step, self._once = 0, once
        self._ended = np.zeros(self.num_envs, np.bool_)
        return self._checked(obs)

    def step(self, actions: ArrayLike) -> HostStep:
        """Step each environment by ``actions`` (B, ...); an ended one starts its next episode here or in the next step.

        Raises:
            UserError: called before ``reset``, not B actions, one out of the space or of another kind of number, or
                the environment raised, or returned a reward that is not R finite numbers or an observation of another
                shape than its space.
        """
        if self._ended is None:
            raise UserError(f"{self.id}: call reset before step")
        actions = self._checked_actions(actions)
        self._step += 1
        try:
            following, raw, terminations, truncations, infos = self._envs.step(actions)
        except UserError:
            raise
        except Exception as error:  # of any kind: it is the user's own code
            raise UserError(f"{self.id}, step {self._step}: {blame(error)}") from error
        obs = self._checked(following)
        where = f"{self.id}, step {self._step}"
        reward = checked_reward(raw, (self.num_envs, self.num_objectives), where, self._finite)
        terminated = np.array(terminations, np.bool_)
        truncated = np.array(truncations, np.bool_) & ~terminated
        lost = np.asarray(infos.get("lost", np.zeros(self.num_envs, np.bool_)))
        valid = ~self._ended & ~lost
        ended = terminated | truncated
        next_obs = obs
        if self._once:
            self._ended = self._ended | ended
        elif self._mode is AutoresetMode.NEXT_STEP:
            self._ended = ended
        if self._mode is AutoresetMode.SAME_STEP and ended.any():
            next_obs = obs.copy()
            next_obs[ended] = np.stack([infos["final_obs"][i] for i in np.flatnonzero(ended)])
        return HostStep(next_obs, reward, terminated, truncated, obs, valid, lost)

    def incidents(self) -> list[str]:
        """What happened to worker processes since this was last asked, in words."""
        return self._envs.incidents() if isinstance(self._envs, WorkerPool) else []

    def close(self) -> None:
        """End worker processes and release what the environments hold. Safe to call again."""
        self._envs.close()

    def _checked_seeds(self, seed: int | list[int]) -> list[int]:
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        whole = isinstance(seeds, list) and all(isinstance(one, int | np.integer) and one >= 0 for one in seeds)
        if not whole or len(seeds) != self.num_envs:
            allowed = f"a whole number from 0 on, or a list of {self.num_envs}, one for each environment"
            raise UserError(f"{self.id}: seed {seed!r}; allowed: {allowed}")
        return [int(one) for one in seeds]

    def _checked_actions(self, raw: ArrayLike) -> NDArray[Any]:
        space, shape = self.action_space, (self.num_envs, *(self.action_space.shape or ()))
        try:
            actions = np.asarray(raw)
        except ValueError as error:  # rows of different lengths
            raise UserError(f"{self.id}: actions {raw!r} are no array; allowed: one of shape {shape}") from error
        if actions.shape != shape:
            raise UserError(
                f"{self.id}: actions of shape {actions.shape}; allowed: {shape} for {self.num_envs} environments"
            )
        if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            fits = actions.dtype.kind in "iuf"
            inside = ((actions >= space.low) & (actions <= space.high)).all() if fits else False
        elif isinstance(space, spaces.Discrete):
            fits = np.issubdtype(actions.dtype, np.integer)
            inside = ((actions >= space.start) & (actions < space.start + space.n)).all() if fits else False
        else:
            inside = all(space.contains(action) for action in actions)
        if not inside:
            raise UserError(f"{self.id}: actions {actions.tolist()} ({actions.dtype}); allowed: each in {space}")
        return actions

    def _checked(self, raw: Any) -> NDArray[Any]:
        obs = np.array(raw)  # a vector environment may reuse its buffer
        shape = (self.num_envs, *(self.observation_space.shape or ()))
        if obs.shape != shape:
            raise UserError(f"{self.id}, step {self._step}: observations of shape {obs.shape}, not {shape}")
        return obs


@dataclass(frozen=True, eq=False)
class HostEnvironment:
    """An environment that runs on the host, in Python; made by :func:`morl.make`.

    Attributes:
        id: its name in Gymnasium's registry.
        observation_space, action_space: of one environment; ``Dict`` and ``Tuple`` observations are flattened.
        reward_space: ``Box`` of shape (R,).
        objectives: name of each of the R rewards; ``objective_0`` ... where the registry does not know them.
        max_episode_steps: steps after which an episode is truncated; ``None`` for no limit.
        reference_point: (R,) for the hypervolume, ``None`` where the registry does not know one.
        metadata: ``render_modes`` and ``render_fps``.
        spec: Gymnasium's registration.
        kwargs: keywords it is made with.
    """

    id: str
    observation_space: Space[Any]
    action_space: Space[Any]
    reward_space: spaces.Box
    objectives: tuple[Objective, ...]
    max_episode_steps: int | None
    reference_point: NDArray[np.float64] | None
    metadata: Mapping[str, Any]
    spec: EnvSpec
    kwargs: Mapping[str, Any]

    def make_vector(
        self, num_envs: int, processes: int = 0, restarts: int = 0, *, finite: bool = True
    ) -> HostVectorEnv:
        """``num_envs`` environments to step together.

        Args:
            num_envs: B.
            processes: worker processes that share them, up to ``num_envs``; 0 steps them one after another in this
                process. The episodes are the same. Workers are spawned: a script must guard its entry by
                ``if __name__ == "__main__":``.
            restarts: of each worker that ends, raises or hangs; see :attr:`HostStep.lost`.
            finite: refuse rewards that are not.

        Raises:
            UserError: a number out of range; here or later, what goes wrong in a worker.
        """
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, not {num_envs}")
        if not 0 <= processes <= num_envs:
            raise UserError(f"processes must be from 0 to num_envs ({num_envs}), not {processes}")
        build = partial(_build, self.spec, self.kwargs, finite)
        size = len(self.objectives)
        envs: VectorEnv[Any, Any, Any]
        if processes:
            envs = WorkerPool(
                build, self.observation_space, self.action_space, num_envs, processes, size, self.id, restarts
            )
        else:
            envs = VectorRewardSync(build, num_envs, size)
        return HostVectorEnv(envs, len(self.objectives), self.id, finite)

    def make_single(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """One environment, by itself, that draws itself where ``render_mode`` is given."""
        return _build(self.spec, self.kwargs if render_mode is None else {**self.kwargs, "render_mode": render_mode})


def host_environment(spec: EnvSpec, kwargs: Mapping[str, Any]) -> HostEnvironment:
    """The host environment of a Gymnasium registration; makes one to see its spaces.

    Raises:
        UserError: unknown keyword, scalar reward, an environment that cannot work or fails to be made.
        MissingExtraError: it needs an optional package that is not installed.
    """
    if spec.id in _UNUSABLE:
        raise UserError(f"{spec.id} cannot be used: {_UNUSABLE[spec.id]}")
    entry_point: Any = spec.entry_point
    try:
        if isinstance(entry_point, str):
            entry_point = load_env_creator(entry_point)
        if entry_point is not None:
            check_keywords(spec.id, entry_point, kwargs, also=["max_episode_steps"])
        env = _build(spec, kwargs)
    except UserError:
        raise
    except (ImportError, DependencyNotInstalled) as error:
        raise _missing(spec.id, error) from error
    except Exception as error:  # of any kind: what an environment does with its keywords is its own affair
        raise _refused(spec, entry_point, kwargs, error) from error
    try:
        return _described(env, spec, kwargs)
    finally:
        env.close()


def _described(env: gymnasium.Env[Any, Any], spec: EnvSpec, kwargs: Mapping[str, Any]) -> HostEnvironment:
    reward_space = env.get_wrapper_attr("reward_space")
    size = reward_space.shape[0]
    ours = env_spec(spec.id)
    if ours is not None and len(ours.objectives) != size:  # a keyword has changed them
        ours = None
    objectives = ours.objectives if ours else tuple(Objective(f"objective_{i}") for i in range(size))
    return HostEnvironment(
        id=spec.id,
        observation_space=env.observation_space,
        action_space=env.action_space,
        reward_space=reward_space,
        objectives=objectives,
        max_episode_steps=env.spec.max_episode_steps if env.spec else None,
        reference_point=np.array(ours.reference_point) if ours else None,
        metadata={"render_modes": [], **env.metadata},
        spec=spec,
        kwargs=dict(kwargs),
    )


def _build(spec: EnvSpec, kwargs: Mapping[str, Any], finite: bool = True) -> gymnasium.Env[Any, Any]:
    """One environment with array observations and a checked vector reward, here or in a worker."""
    with warnings.catch_warnings(), _silent_mujoco(spec):
        warnings.simplefilter("ignore")  # of old versions, rendering, float precision: none to act on
        env = gymnasium.make(spec, disable_env_checker=True, **kwargs)
    try:
        return _prepared(env, spec.id, finite)
    except UserError:
        env.close()
        raise


@contextlib.contextmanager
def _silent_mujoco(spec: EnvSpec) -> Iterator[None]:
    """Without MuJoCo's warnings of Gymnasium's own models, which go to the terminal and a file in the directory."""
    if "mujoco" not in str(spec.entry_point):
        yield
        return
    import mujoco

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _prepared(env: gymnasium.Env[Any, Any], id: str, finite: bool) -> gymnasium.Env[Any, Any]:
    reward_space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
    if not isinstance(reward_space, spaces.Box) or len(reward_space.shape) != 1 or reward_space.shape[0] < 2:
        raise UserError(
            f"{id} has a scalar reward; a multi-objective environment has a reward_space, a Box of shape (R,) with"
            " R >= 2: wrap it in one whose step returns a vector"
        )
    if isinstance(env.action_space, spaces.Dict | spaces.Tuple):
        raise UserError(f"{id} has a {type(env.action_space).__name__} action space; allowed: one array")
    if id in _REPAIRS:
        env = _REPAIRS[id](env)
    if isinstance(env.observation_space, spaces.Dict | spaces.Tuple):
        env = gymnasium.wrappers.FlattenObservation(env)
    if env.observation_space.shape is None or env.observation_space.dtype is None:
        raise UserError(f"{id} has a {type(env.observation_space).__name__} observation space; allowed: one of arrays")
    return Guard(env, reward_space.shape, id, finite)


def _missing(id: str, error: Exception) -> UserError:
    """What to install for ``id``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ImportError) and cause.name in _EXTRAS:
            return MissingExtraError(id, _EXTRAS[cause.name])
        cause = cause.__cause__
    return UserError(f"{id} needs a package that is not installed: {error}")


def _refused(spec: EnvSpec, entry_point: Any, kwargs: Mapping[str, Any], error: Exception) -> UserError:
    """What went wrong in making an environment."""
    why = str(error).partition(" was raised from the environment creator")[0]  # which Gymnasium adds
    for name in kwargs:
        if f"unexpected keyword argument '{name}'" in why:
            return UserError(f"{spec.id} has no keyword {name!r}; allowed: {', '.join(_keywords(entry_point))}")
    given = f" with {dict(kwargs)}" if kwargs else ""
    return UserError(f"{spec.id} cannot be made{given}: {type(error).__name__}: {why}")


def _keywords(entry_point: Any) -> list[str]:
    """Keywords that it takes, and those of its bases for as long as each passes any on."""
    names: dict[str, None] = {}
    for owner in inspect.getmro(entry_point) if isinstance(entry_point, type) else (entry_point,):
        parameters = inspect.signature(owner).parameters.values()
        names |= dict.fromkeys(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [*names, "max_episode_steps"]
