"""MO-Gymnasium's MuJoCo robots (v5), stepped together: physics by threads, the rest in batched arrays.

Gymnasium and MO-Gymnasium compute the observation, reward and info of each step in Python, each quantity several times,
which takes a quarter to half of a step (``benchmarks/host/stepping.py``); in the rest MuJoCo releases Python's lock.
Results here equal theirs bit for bit, whatever the number of threads. Worker processes import this module, so it does
not import JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from morl.envs.host.threads import StepThreads

Array = Any  # NumPy array; MuJoCo's are untyped
_CHECKED_STEPS = 3
_PACKAGE = "mo_gymnasium.envs.mujoco."


class Robots:
    """Simulations of one robot in N environments.

    Args:
        envs: environments of one class and with equal keywords, as Gymnasium made them (``unwrapped``).
        threads: share out the simulations; by default the calling thread alone.

    Attributes:
        contacts: compute contact forces, which MuJoCo does in a call of its own.
        mortal: falling ends an episode.
    """

    contacts = False

    def __init__(self, envs: Sequence[Any], threads: StepThreads | None = None) -> None:
        import mujoco

        self._threads = threads or StepThreads()
        self._env = envs[0]
        self.mortal: bool = getattr(self._env, "_terminate_when_unhealthy", False)  # absent for robots that cannot fall
        self._dt: float = self._env.dt
        self._datas = [env.data for env in envs]
        self._simulations = [(env.model, env.data, env.data.ctrl) for env in envs]
        self._views: dict[str, list[Array]] = {}
        self._rows: dict[str, Array] = {}  # gathered since the state last changed
        self._mujoco: Any = mujoco

    def step(self, actions: Array, awake: Array) -> tuple[Array, Array, Array]:
        """Step by ``actions`` (N, A), except environments that are not ``awake`` (N,).

        Returns:
            Observations (N, ...), rewards (N, R) float32 and which robots have fallen (N,) bool; undefined for
            environments that are not awake.
        """
        step, contacts, skip = self._mujoco.mj_step, self._mujoco.mj_rnePostConstraint, self._env.frame_skip
        self._rows.clear()  # some may have been reset
        before = self.position()

        def simulate(i: int) -> None:
            model, data, ctrl = self._simulations[i]
            ctrl[:] = actions[i]
            step(model, data, nstep=skip)
            if self.contacts:
                contacts(model, data)

        self._threads.each(simulate, np.flatnonzero(awake))
        self._rows.clear()
        velocity = (self.position() - before) / self._dt
        healthy = self.healthy()
        reward = self.reward(velocity, actions, healthy)
        return self.observation(), reward, ~healthy & self.mortal

    def rows(self, name: str) -> Array:
        """Return MuJoCo's array of that name for each simulation, (N, ...); not to be written to."""
        if name not in self._rows:
            if name not in self._views:  # views of MuJoCo's memory, which does not move
                self._views[name] = [getattr(data, name)[None] for data in self._datas]
            self._rows[name] = np.concatenate(self._views[name])
        return self._rows[name]

    def position(self) -> Array:
        """Return the positions (N, 2) or (N, 1) in metres from which velocities are computed."""
        return self.rows("qpos")[:, :1]

    def healthy(self) -> Array:
        """Return which robots are healthy, (N,) bool."""
        raise NotImplementedError

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        """Return the rewards, (N, R) float32."""
        raise NotImplementedError

    def observation(self) -> Array:
        """Return the observations, (N, O)."""
        raise NotImplementedError

    def _effort(self, actions: Array) -> Array:
        """Return minus the cost of the torques (N,), with Gymnasium's weight."""
        return -(self._env._ctrl_cost_weight * np.sum(np.square(actions), axis=1))

    def _with_effort(self, columns: list[Array], actions: Array) -> Array:
        """Return these rewards with the effort as another objective, or added to each, (N, R) float32."""
        effort = self._effort(actions)
        if self._env._cost_objective:
            columns = [*columns, effort / self._env._ctrl_cost_weight]
        reward = np.stack(columns, axis=1).astype(np.float32)
        if not self._env._cost_objective:
            reward += effort[:, None]
        return reward

    def _survived(self, healthy: Array) -> Array:
        return (healthy * self._env._healthy_reward)[:, None]

    def _joints(self, hidden: int, limit: float | None = None) -> tuple[Array, Array]:
        """Return positions without the first ``hidden``, which are the place on the ground, and velocities."""
        velocity = self.rows("qvel")
        if limit is not None:
            velocity = np.clip(velocity, -limit, limit)
        return self.rows("qpos")[:, hidden * self._env._exclude_current_positions_from_observation :], velocity

    def _within(self, values: Array, name: str) -> Array:
        low, high = getattr(self._env, name)
        return (low < values) & (values < high)


class _Cheetahs(Robots):
    def healthy(self) -> Array:
        return np.ones(len(self._datas), np.bool_)

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        effort = self._effort(actions) / self._env._ctrl_cost_weight
        return np.stack([velocity[:, 0], effort], axis=1).astype(np.float32)

    def observation(self) -> Array:
        return np.concatenate(self._joints(1), axis=1)


class _Swimmers(_Cheetahs):
    def observation(self) -> Array:
        return np.concatenate(self._joints(2), axis=1)


class _Walkers(Robots):
    def healthy(self) -> Array:
        qpos = self.rows("qpos")
        return self._within(qpos[:, 1], "_healthy_z_range") & self._within(qpos[:, 2], "_healthy_angle_range")

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        effort = self._effort(actions) / self._env._ctrl_cost_weight
        reward = np.stack([velocity[:, 0], effort], axis=1).astype(np.float32)
        reward += self._survived(healthy)
        return reward

    def observation(self) -> Array:
        return np.concatenate(self._joints(1, limit=10), axis=1)


class _Hoppers(_Walkers):
    def healthy(self) -> Array:
        state = np.concatenate([self.rows("qpos")[:, 2:], self.rows("qvel")], axis=1)
        return super().healthy() & self._within(state, "_healthy_state_range").all(axis=1)

    def _survived(self, healthy: Array) -> Array:
        return super()._survived(healthy).astype(np.float32)  # theirs is a Python float, which keeps 32 bits

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        height = 10 * (self.rows("qpos")[:, 1] - self._env.init_qpos[1])
        reward = self._with_effort([velocity[:, 0], height], actions)
        reward += self._survived(healthy)
        return reward


class _Ants(Robots):
    contacts = True

    def __init__(self, envs: Sequence[Any], threads: StepThreads | None = None) -> None:
        super().__init__(envs, threads)
        self._body = self._env.model.body(self._env._main_body).id

    def position(self) -> Array:
        return self.rows("xpos")[:, self._body, :2]

    def healthy(self) -> Array:
        qpos = self.rows("qpos")
        low, high = self._env._healthy_z_range
        finite = np.isfinite(qpos).all(axis=1) & np.isfinite(self.rows("qvel")).all(axis=1)
        return finite & (low <= qpos[:, 2]) & (qpos[:, 2] <= high)

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        reward = self._with_effort([velocity[:, 0], velocity[:, 1]], actions)
        reward += self._survived(healthy)
        touch = np.square(self._forces()).reshape(len(reward), -1)
        reward += -(self._env._contact_cost_weight * np.sum(touch, axis=1))[:, None]
        return reward

    def observation(self) -> Array:
        parts = [*self._joints(2)]
        if self._env._include_cfrc_ext_in_observation:
            parts.append(self._forces()[:, 1:].reshape(len(parts[0]), -1))
        return np.concatenate(parts, axis=1)

    def _forces(self) -> Array:
        return np.clip(self.rows("cfrc_ext"), *self._env._contact_force_range)


class _Humanoids(Robots):
    contacts = True

    def position(self) -> Array:
        mass = self._env.model.body_mass[:, None]
        return (np.sum(mass * self.rows("xipos"), axis=1) / np.sum(mass))[:, :2]

    def healthy(self) -> Array:
        return self._within(self.rows("qpos")[:, 2], "_healthy_z_range")

    def reward(self, velocity: Array, actions: Array, healthy: Array) -> Array:
        effort = self._effort(self.rows("ctrl")) / self._env._ctrl_cost_weight
        reward = np.stack([velocity[:, 0], effort], axis=1).astype(np.float32)
        reward += self._survived(healthy)
        touch = np.square(self.rows("cfrc_ext")).reshape(len(reward), -1)
        cost = self._env._contact_cost_weight * np.sum(touch, axis=1)
        reward += -np.clip(cost, *self._env._contact_cost_range)[:, None]
        return reward

    def observation(self) -> Array:
        env, parts = self._env, [*self._joints(2)]
        for name, hidden, shown in (
            ("cinert", 1, env._include_cinert_in_observation),
            ("cvel", 1, env._include_cvel_in_observation),
            ("qfrc_actuator", 6, env._include_qfrc_actuator_in_observation),
            ("cfrc_ext", 1, env._include_cfrc_ext_in_observation),
        ):
            if shown:
                parts.append(self.rows(name)[:, hidden:].reshape(len(parts[0]), -1))
        return np.concatenate(parts, axis=1)


_ROBOTS: dict[str, type[Robots]] = {
    "ant_v5:MOAntEnv": _Ants,
    "half_cheetah_v5:MOHalfCheehtahEnv": _Cheetahs,
    "hopper_v5:MOHopperEnv": _Hoppers,
    "humanoid_v5:MOHumanoidEnv": _Humanoids,
    "swimmer_v5:MOSwimmerEnv": _Swimmers,
    "walker2d_v5:MOWalker2dEnv": _Walkers,
}


def robots_of(
    envs: Sequence[gymnasium.Env[Any, Any]],
    build: Callable[[], gymnasium.Env[Any, Any]],
    transparent: tuple[type[gymnasium.Wrapper[Any, Any, Any, Any]], ...],
    threads: StepThreads | None = None,
) -> Robots | None:
    """Return the robots that step ``envs`` together, or None where that is not supported.

    Other environments, and robots whose steps are not reproduced exactly, are not supported.

    Args:
        envs: environments as ``build`` makes them.
        build: makes an environment for a trial of a few steps, since releases of Gymnasium may differ.
        transparent: wrappers, besides Gymnasium's, that do not change steps.
        threads: share out the simulations.
    """
    kind = type(envs[0].unwrapped)
    robots = _ROBOTS.get(f"{kind.__module__.removeprefix(_PACKAGE)}:{kind.__name__}")
    if robots is None or not is_plain_mujoco(envs[0], transparent):
        return None
    twin = build()
    try:
        return robots([env.unwrapped for env in envs], threads) if _reproduced(twin, robots) else None
    finally:
        twin.close()


def is_plain_mujoco(
    env: gymnasium.Env[Any, Any], transparent: tuple[type[gymnasium.Wrapper[Any, Any, Any, Any]], ...]
) -> bool:
    """Return whether an environment is MO-Gymnasium's on MuJoCo without pictures, and no other wrapper changes it.

    Such environments share nothing and may step in different threads.

    Args:
        env: environment.
        transparent: wrappers, besides Gymnasium's, that do not change steps.
    """
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if type(layer) not in (TimeLimit, OrderEnforcing, *transparent):
            return False
        layer = layer.env
    return type(layer).__module__.startswith(_PACKAGE) and env.render_mode is None


def _reproduced(env: gymnasium.Env[Any, Any], kind: type[Robots]) -> bool:
    """Return whether a few steps of ``env`` and of ``kind`` are equal bit for bit."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(_CHECKED_STEPS)]
    env.reset(seed=0)
    theirs = [env.step(action)[:3] for action in actions]
    env.reset(seed=0)
    try:
        robot = kind([env.unwrapped])
        ours = [[part[0] for part in robot.step(action[None], np.ones(1, bool))] for action in actions]
    except (AttributeError, IndexError, TypeError, ValueError):  # attributes of another release
        return False
    return all(
        np.array_equal(x, y) for one, other in zip(theirs, ours, strict=True) for x, y in zip(one, other, strict=True)
    )
