"""Locomotion on MuJoCo's JAX back-end (MJX): MO-Gymnasium's hopper, half-cheetah, walker and ant, v5.

The models are Gymnasium's files, with their integrator and solver settings and MuJoCo's contact directions. MJX is
meant for accelerators; on a CPU, MuJoCo itself on the host is faster.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.mujoco import ROBOTS, mjx_contacts
from morl.errors import MissingExtraError, UserError
from morl.validation import check_range


class Params(NamedTuple):
    """Parameters that can change without compiling again.

    Attributes:
        noise: () float32, scale of the noise at the start of an episode.
    """

    noise: jax.Array


class State(NamedTuple):
    """Part of MuJoCo's data that a step takes from the step before.

    Attributes:
        qpos: (nq,) float32 generalised positions.
        qvel: (nv,) float32 generalised velocities.
        qacc_warmstart: (nv,) float32, initial accelerations of the solver.
        place: (1,) or (2,) float32, metres, place of the body when its speed was last measured.
    """

    qpos: jax.Array
    qvel: jax.Array
    qacc_warmstart: jax.Array
    place: jax.Array


class System(NamedTuple):
    """Model in MuJoCo (``host``) and on the device (``model``), and its ``data`` before the first step."""

    host: Any
    model: Any
    data: Any


@cache
def _system(file: str) -> System:
    """Load Gymnasium's model of that file name.

    Raises:
        MissingExtraError: MJX is not installed.
        UserError: the installed release of MJX is not supported.
    """
    try:
        import mujoco
        from mujoco import mjx
    except ImportError as error:
        raise MissingExtraError("an environment on MJX", "mjx") from error
    mjx_contacts.check()
    host = mujoco.MjModel.from_xml_path(str(files("gymnasium") / "envs" / "mujoco" / "assets" / file))
    return System(host, mjx.put_model(host, impl="jax"), mjx.make_data(host, impl="jax"))


@cache  # opening a renderer takes longer than drawing
def _renderer(file: str) -> Any:
    """Return MuJoCo's off-screen renderer of that model.

    Raises:
        UserError: OpenGL is not available.
    """
    import mujoco

    try:
        renderer = mujoco.Renderer(_system(file).host, 480, 480)
    except (mujoco.FatalError, ImportError, RuntimeError) as error:  # depends on the OpenGL back-end
        raise UserError(
            "pictures of MuJoCo need OpenGL; without a display set the environment variable MUJOCO_GL to egl or osmesa"
        ) from error
    atexit.register(renderer.close)  # before the OpenGL library is unloaded
    return renderer


@dataclass(frozen=True)
class _Locomotion:
    """Base class of the four robots; a subclass defines its model, objectives and rewards.

    - Observation: positions without the place, and velocities, float32 (Gymnasium's are float64).
    - Action: the torque of each joint, in [-1, 1].
    - Termination: the robot is not healthy. The core truncates after 1000 steps.
    """

    reset_noise_scale: float

    file: ClassVar[str]
    frame_skip: ClassVar[int]
    normal_velocity: ClassVar[bool] = False  # initial velocities have normal noise, else uniform
    max_episode_steps = 1000

    def __post_init__(self) -> None:
        check_range(self, "reset_noise_scale", low=0)
        _ = self.system  # load the model now and not under a trace

    @property
    def system(self) -> System:
        return _system(self.file)

    @property
    def id(self) -> str:
        raise NotImplementedError

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return ROBOTS[self.id].objectives

    @property
    def _dt(self) -> float:
        return float(self.system.host.opt.timestep) * self.frame_skip

    @cached_property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (self.system.host.nq + self.system.host.nv - 1,), np.float32)

    @cached_property
    def action_space(self) -> spaces.Box:
        low, high = self.system.host.actuator_ctrlrange.T.astype(np.float32)
        return spaces.Box(low, high)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (len(self.objectives),), np.float32)

    @property
    def reference_point(self) -> NDArray[np.float64]:
        return np.array(ROBOTS[self.id].reference_point)

    @property
    def default_params(self) -> Params:
        return Params(jnp.float32(self.reset_noise_scale))

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        key_position, key_velocity = jax.random.split(key)
        host = self.system.host
        noise = jax.random.uniform(key_position, (host.nq,), minval=-1.0, maxval=1.0, dtype=jnp.float32)
        qpos = jnp.asarray(host.qpos0, jnp.float32) + params.noise * noise
        if self.normal_velocity:
            qvel = params.noise * jax.random.normal(key_velocity, (host.nv,), dtype=jnp.float32)
        else:
            qvel = params.noise * jax.random.uniform(
                key_velocity, (host.nv,), minval=-1.0, maxval=1.0, dtype=jnp.float32
            )
        data = self.system.data.replace(qpos=qpos, qvel=qvel)
        state = State(qpos, qvel, jnp.zeros(host.nv, jnp.float32), self._place(data, qpos))
        return state, self._observe(data)

    def step(
        self, key: jax.Array, state: State, action: jax.Array, params: Params
    ) -> tuple[State, jax.Array, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        from mujoco import mjx

        _, model, data = self.system
        data = data.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.qacc_warmstart, ctrl=action)
        with mjx_contacts.as_in_mujoco():
            # unrolled, this scan takes frame_skip times as long to compile
            data, _ = jax.lax.scan(lambda data, _: (mjx.step(model, data), None), data, length=self.frame_skip)
        data = self._finished(data)
        place = self._place(data, data.qpos)
        healthy = self._healthy(data)
        reward = self._rewards(data, (place - state.place) / self._dt, action, healthy)
        state = State(data.qpos, data.qvel, data.qacc_warmstart, place)
        return state, self._observe(data), reward, ~healthy, jnp.bool_(False), {}

    def _finished(self, data: Any) -> Any:
        """Return the data after computations that are needed once a step."""
        return data

    def _place(self, data: Any, qpos: jax.Array) -> Any:
        return qpos[:1]

    def _healthy(self, data: Any) -> Any:
        return jnp.bool_(True)

    def _rewards(self, data: Any, speed: jax.Array, action: jax.Array, healthy: jax.Array) -> jax.Array:
        raise NotImplementedError

    def _observe(self, data: Any) -> jax.Array:
        return jnp.concatenate([data.qpos[1:], data.qvel])

    @property
    def render_fps(self) -> int:
        return round(1 / self._dt)

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the body by the model's own camera, which follows it, (480, 480, 3) uint8.

        Raises:
            UserError: OpenGL is not available.
        """
        import mujoco

        host, renderer = self.system.host, _renderer(self.file)
        data = mujoco.MjData(host)
        data.qpos[:] = state.qpos
        mujoco.mj_kinematics(host, data)
        mujoco.mj_comPos(host, data)  # the camera follows the centre of mass
        mujoco.mj_camlight(host, data)
        renderer.update_scene(data, "track")
        picture: NDArray[np.uint8] = renderer.render()
        return picture


@dataclass(frozen=True)
class HalfCheetah(_Locomotion):
    """Two-legged cheetah in the plane that runs fast on little energy.

    - Objectives: speed in m/s; energy, minus the sum of squared torques.
    - Termination: never. The core truncates after 1000 steps.
    - Source: MO-Gymnasium's ``mo-halfcheetah-v5``.
    """

    reset_noise_scale: float = 0.1

    id = "mo-halfcheetah-v5"
    file = "half_cheetah.xml"
    frame_skip = 5
    normal_velocity = True

    def _rewards(self, data: Any, speed: jax.Array, action: jax.Array, healthy: jax.Array) -> jax.Array:
        return jnp.stack([speed[0], -jnp.sum(action**2)])


@dataclass(frozen=True)
class Hopper(_Locomotion):
    """One-legged hopper in the plane that hops fast and high on little energy.

    - Objectives: speed in m/s; height, in dm above the start; energy, minus the sum of squared torques. Each gets 1 a
      step while the hopper is upright. With ``cost_objective=False`` a thousandth of the energy is subtracted from the
      other two instead.
    - Termination: the hopper is not upright. The core truncates after 1000 steps.
    - Source: MO-Gymnasium's ``mo-hopper-v5`` and ``mo-hopper-2obj-v5``.
    """

    cost_objective: bool = True
    reset_noise_scale: float = 5e-3

    file = "hopper.xml"
    frame_skip = 4

    @property
    def id(self) -> str:
        return "mo-hopper-v5" if self.cost_objective else "mo-hopper-2obj-v5"

    def _healthy(self, data: Any) -> Any:
        rest = jnp.concatenate([data.qpos, data.qvel])[2:]
        upright = (data.qpos[1] > 0.7) & (jnp.abs(data.qpos[2]) < 0.2)
        return upright & jnp.all(jnp.abs(rest) < 100.0)

    def _rewards(self, data: Any, speed: jax.Array, action: jax.Array, healthy: jax.Array) -> jax.Array:
        height = 10 * (data.qpos[1] - self.system.host.qpos0[1])
        cost = jnp.sum(action**2)
        rewards = [speed[0], height, -cost] if self.cost_objective else [speed[0] - 1e-3 * cost, height - 1e-3 * cost]
        return jnp.stack(rewards) + healthy

    def _observe(self, data: Any) -> jax.Array:
        return jnp.concatenate([data.qpos[1:], jnp.clip(data.qvel, -10.0, 10.0)])


@dataclass(frozen=True)
class Walker2d(_Locomotion):
    """Two-legged walker in the plane that walks fast on little energy.

    - Objectives: speed in m/s; energy, minus the sum of squared torques. Each gets 1 a step while it is upright.
    - Termination: the walker is not upright. The core truncates after 1000 steps.
    - Source: MO-Gymnasium's ``mo-walker2d-v5``.
    """

    reset_noise_scale: float = 5e-3

    id = "mo-walker2d-v5"
    file = "walker2d_v5.xml"
    frame_skip = 4

    def _healthy(self, data: Any) -> Any:
        height, angle = data.qpos[1], data.qpos[2]
        return (height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0)

    def _rewards(self, data: Any, speed: jax.Array, action: jax.Array, healthy: jax.Array) -> jax.Array:
        return jnp.stack([speed[0], -jnp.sum(action**2)]) + healthy

    def _observe(self, data: Any) -> jax.Array:
        return jnp.concatenate([data.qpos[1:], jnp.clip(data.qvel, -10.0, 10.0)])


@dataclass(frozen=True)
class Ant(_Locomotion):
    """Four-legged ant that walks along x and along y on little energy.

    - Objectives: x_speed and y_speed in m/s; energy, minus the sum of squared torques. Each gets 1 a step while the ant
      is healthy, less a cost of contact forces. With ``cost_objective=False`` half of the energy is subtracted from the
      other two instead.
    - Observation: positions without the place, velocities, and the external forces on each body clipped to [-1, 1].
    - Termination: the ant is not healthy. The core truncates after 1000 steps.
    - Source: MO-Gymnasium's ``mo-ant-v5`` and ``mo-ant-2obj-v5``.
    """

    cost_objective: bool = True
    reset_noise_scale: float = 0.1

    file = "ant.xml"
    frame_skip = 5
    normal_velocity = True

    @property
    def id(self) -> str:
        return "mo-ant-v5" if self.cost_objective else "mo-ant-2obj-v5"

    @cached_property
    def observation_space(self) -> spaces.Box:
        host = self.system.host
        return spaces.Box(-np.inf, np.inf, (host.nq - 2 + host.nv + 6 * (host.nbody - 1),), np.float32)

    def reset(self, key: jax.Array, params: Params) -> tuple[State, jax.Array]:
        state, obs = super().reset(key, params)
        return state._replace(place=state.qpos[:2]), obs  # the torso's place, before its kinematics are computed

    def _finished(self, data: Any) -> Any:
        from mujoco import mjx

        return mjx.rne_postconstraint(self.system.model, data)

    def _place(self, data: Any, qpos: jax.Array) -> Any:
        return data.xpos[1, :2]  # like Gymnasium, from before the last integration

    def _healthy(self, data: Any) -> Any:
        finite = jnp.all(jnp.isfinite(data.qpos)) & jnp.all(jnp.isfinite(data.qvel))
        return finite & (data.qpos[2] >= 0.2) & (data.qpos[2] <= 1.0)

    def _rewards(self, data: Any, speed: jax.Array, action: jax.Array, healthy: jax.Array) -> jax.Array:
        cost = jnp.sum(action**2)
        contact = 5e-4 * jnp.sum(_clipped_forces(data) ** 2)
        rewards = jnp.append(speed, -cost) if self.cost_objective else speed - 0.5 * cost
        return rewards + healthy - contact

    def _observe(self, data: Any) -> jax.Array:
        return jnp.concatenate([data.qpos[2:], data.qvel, _clipped_forces(data)[1:].ravel()])


def _clipped_forces(data: Any) -> jax.Array:
    """Return the external force and torque on each body, (nbody, 6), clipped to [-1, 1]."""
    forces: jax.Array = jnp.clip(data._impl.cfrc_ext, -1.0, 1.0)  # MJX has no public name for it
    return forces
