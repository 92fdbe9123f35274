"""Registrations of MO-Gymnasium's MuJoCo robots, which run on the host, five of them also on MuJoCo's JAX back-end.

Reference points are those that fronts of these environments are published with; where there are none, the returns of
the worst sensible policy.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from morl.registry import AliveBonus, EnvSpec, Objective, register_env

_MuJoCo = partial(EnvSpec, extra="mujoco")
_MJX = partial(_MuJoCo, max_episode_steps=1000, prefer_host=True)  # in JAX too, for an accelerator

_SPEED, _ENERGY = Objective("speed", "m/s"), Objective("energy")
_HEIGHT = Objective("height", "dm")
_X_SPEED, _Y_SPEED = Objective("x_speed", "m/s"), Objective("y_speed", "m/s")

_Alive = partial(AliveBonus, changed_by=("healthy_reward", "terminate_when_unhealthy"))
_ALIVE, _ALIVE_HUMANOID = _Alive(1.0), _Alive(5.0)

_V5 = (
    _MJX(
        "mo-halfcheetah-v5",
        "run fast, spend little",
        (_SPEED, _ENERGY),
        (-100.0, -1000.0),  # running at full power costs 600; in v4 energy counts a tenth
        entry_point="morl.envs.mujoco.mjx:HalfCheetah",
    ),
    _MJX(
        "mo-hopper-v5",
        "hop fast, hop high, spend little",
        (_SPEED, _HEIGHT, _ENERGY),
        (-100.0,) * 3,
        entry_point="morl.envs.mujoco.mjx:Hopper",
        alive_bonus=_ALIVE,
    ),
    _MJX(
        "mo-hopper-2obj-v5",
        "hop fast, hop high",
        (_SPEED, _HEIGHT),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Hopper",
        alive_bonus=_ALIVE,
        kwargs={"cost_objective": False},
    ),
    _MJX(
        "mo-walker2d-v5",
        "walk fast, spend little",
        (_SPEED, _ENERGY),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Walker2d",
        alive_bonus=_ALIVE,
    ),
    _MJX(
        "mo-ant-v5",
        "walk in x and in y, spend little",
        (_X_SPEED, _Y_SPEED, _ENERGY),
        (-100.0,) * 3,
        entry_point="morl.envs.mujoco.mjx:Ant",
        alive_bonus=_ALIVE,
    ),
    _MJX(
        "mo-ant-2obj-v5",
        "walk in x and in y",
        (_X_SPEED, _Y_SPEED),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Ant",
        alive_bonus=_ALIVE,
        kwargs={"cost_objective": False},
    ),
    _MuJoCo("mo-swimmer-v5", "swim fast, spend little", (_SPEED, _ENERGY), (-100.0,) * 2),
    _MuJoCo(
        "mo-humanoid-v5",
        "walk fast, spend little",
        (_SPEED, _ENERGY),
        (-100.0,) * 2,
        alive_bonus=_ALIVE_HUMANOID,
    ),
    _MuJoCo(
        "mo-reacher-v5",
        "reach for four targets at once",
        tuple(Objective(f"target_{i}") for i in range(1, 5)),
        (-50.0,) * 4,  # -1 in each of 50 steps is their reward space's bound
    ),
)
ROBOTS = {spec.id: register_env(spec) for spec in _V5}
for _v5 in _V5:
    register_env(
        _MuJoCo(
            _v5.id.replace("-2obj-v5", "-2d-v4").replace("-v5", "-v4"),
            f"{_v5.summary} (older version)",
            _v5.objectives,
            (-100.0, -100.0) if _v5.id == "mo-halfcheetah-v5" else _v5.reference_point,
            alive_bonus=_v5.alive_bonus and replace(_v5.alive_bonus, at_fall=True),  # v4 pays it in every step
        )
    )
