"""Making of a single Gymnasium environment for the host: repairs, flattened observations, checked rewards.

Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from morl.envs.gymnasium.masked import MASK, MaskIntoInfo, MaskIntoObservation
from morl.envs.host.guard import Guard, guarded_reset
from morl.envs.host.repairs import CutOff, SeededOre, SeededStart, StillMines
from morl.errors import UserError, user_code
from morl.ops.spaces import FLATTENED, check_action_space, check_observation_space

# Wrappers for faults of MO-Gymnasium's environments that would reach the learner.
_REPAIRS: dict[str, type[gymnasium.Wrapper[Any, Any, Any, Any]]] = {
    "fishwood-v0": CutOff,
    "four-room-v0": SeededStart,
    "minecart-v0": SeededOre,
    "minecart-rgb-v0": StillMines,
}


def build(
    spec: EnvSpec, kwargs: Mapping[str, Any], finite: bool = True, masked: bool | None = None
) -> gymnasium.Env[Any, Any]:
    """Make an environment with array observations and a checked vector reward.

    Args:
        spec, kwargs: registration and keywords of the environment.
        finite: refuse rewards that are not finite.
        masked: the environment gives a mask of actions, which joins the observation; by default a reset tells.

    Raises:
        UserError: a scalar reward, or a space that is not supported.
    """
    with warnings.catch_warnings(), _silent_mujoco(spec):
        warnings.simplefilter("ignore")  # on old versions, rendering and float precision
        env = gymnasium.make(spec, disable_env_checker=True, **kwargs)
    try:
        return prepared(env, spec.id, finite, masked)
    except UserError:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            env.close()
        raise


def build_guarded(
    spec: EnvSpec, kwargs: Mapping[str, Any], finite: bool = True, masked: bool | None = None
) -> gymnasium.Env[Any, Any]:
    """Make an environment as :func:`build` does, where one of the same registration has been made before.

    Raises:
        UserCodeError: its constructor raised.
    """
    with user_code(spec.id, "its constructor"):
        return build(spec, kwargs, finite, masked)


@contextlib.contextmanager
def _silent_mujoco(spec: EnvSpec) -> Iterator[None]:
    """Suppress MuJoCo's warnings about Gymnasium's models, which go to the terminal and to a file."""
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


def prepared(
    env: gymnasium.Env[Any, Any], id: str, finite: bool, masked: bool | None = None
) -> gymnasium.Env[Any, Any]:
    """Wrap an environment for array observations and a checked vector reward; arguments as for :func:`build`.

    Raises:
        UserError: a scalar reward, or a space that is not supported.
    """
    reward_space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
    if not isinstance(reward_space, spaces.Box) or len(reward_space.shape) != 1 or reward_space.shape[0] < 2:
        raise UserError(
            f"{id} has a scalar reward; a multi-objective environment has a reward_space, a Box of shape (R,) with"
            " R >= 2: wrap it in one whose step returns a vector"
        )
    check_action_space(env.action_space, id)
    check_observation_space(env.observation_space, id)
    if id in _REPAIRS:
        env = _REPAIRS[id](env)
    if isinstance(env.observation_space, spaces.Dict) and MASK in env.observation_space.spaces:
        env, masked = MaskIntoInfo(env), True
    if isinstance(env.observation_space, FLATTENED):
        env = gymnasium.wrappers.FlattenObservation(env)
    if _gives_masks(env, id) if masked is None else masked:
        env = MaskIntoObservation(env, id)
    return Guard(env, reward_space.shape, id, finite)


def _gives_masks(env: gymnasium.Env[Any, Any], id: str) -> bool:
    """Return whether the infos of an environment of ``Discrete`` actions hold masks, by its first one."""
    if not isinstance(env.action_space, spaces.Discrete):
        return False
    info = guarded_reset(env, id, seed=0)[1]
    return isinstance(info, dict) and MASK in info
