"""Registrations of MO-Gymnasium's MuJoCo robots: stepped together on the host, some of them on MuJoCo's JAX back-end too.

Reference points are those that fronts of these environments are published with; where there are none, the returns of
the worst sensible policy.
"""

from __future__ import annotations

from functools import partial

from morl.registry import EnvSpec, register_env

_MuJoCo = partial(EnvSpec, extra="mujoco")
_MJX = partial(_MuJoCo, max_episode_steps=1000, prefer_host=True)  # in JAX too, for an accelerator

_MUJOCO = (
    _MJX(
        "mo-halfcheetah-v5",
        "run fast, spend little",
        ("speed", "energy"),
        (-100.0, -1000.0),  # running at full power costs 600; in v4 energy counts a tenth
        entry_point="morl.envs.mujoco.mjx:HalfCheetah",
    ),
    _MJX(
        "mo-hopper-v5",
        "hop fast, hop high, spend little",
        ("speed", "height", "energy"),
        (-100.0,) * 3,
        entry_point="morl.envs.mujoco.mjx:Hopper",
    ),
    _MJX(
        "mo-hopper-2obj-v5",
        "hop fast, hop high",
        ("speed", "height"),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Hopper",
        kwargs={"cost_objective": False},
    ),
    _MJX(
        "mo-walker2d-v5",
        "walk fast, spend little",
        ("speed", "energy"),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Walker2d",
    ),
    _MJX(
        "mo-ant-v5",
        "walk in x and in y, spend little",
        ("x_speed", "y_speed", "energy"),
        (-100.0,) * 3,
        entry_point="morl.envs.mujoco.mjx:Ant",
    ),
    _MJX(
        "mo-ant-2obj-v5",
        "walk in x and in y",
        ("x_speed", "y_speed"),
        (-100.0,) * 2,
        entry_point="morl.envs.mujoco.mjx:Ant",
        kwargs={"cost_objective": False},
    ),
    _MuJoCo("mo-swimmer-v5", "swim fast, spend little", ("speed", "energy"), (-100.0,) * 2),
    _MuJoCo("mo-humanoid-v5", "walk fast, spend little", ("speed", "energy"), (-100.0,) * 2),
    _MuJoCo(
        "mo-reacher-v5",
        "reach for four targets at once",
        ("target_1", "target_2", "target_3", "target_4"),
        (-50.0,) * 4,  # -1 in each of 50 steps is their reward space's bound
    ),
)
for _v5 in _MUJOCO:
    register_env(_v5)
    register_env(
        _MuJoCo(
            _v5.id.replace("-2obj-v5", "-2d-v4").replace("-v5", "-v4"),
            f"{_v5.summary} (older version)",
            _v5.objectives,
            (-100.0, -100.0) if _v5.id == "mo-halfcheetah-v5" else _v5.reference_point,
        )
    )
