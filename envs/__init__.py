"""Vector-reward environments: the registrations, as plain data (no JAX, no environment module is imported here).

Reference points are the ones fronts of these environments are published with.
"""

from __future__ import annotations

from morl.envs import classic_suite as classic_suite
from morl.registry import EnvSpec, register_env

_HOST: tuple[tuple[str, str, tuple[str, ...], tuple[float, ...], str | None], ...] = (
    ("mo-halfcheetah-v5", "run fast, spend little", ("speed", "energy"), (-100.0,) * 2, "mujoco"),
    ("mo-hopper-v5", "hop fast, hop high, spend little", ("speed", "height", "energy"), (-100.0,) * 3, "mujoco"),
    ("mo-hopper-2obj-v5", "hop fast, hop high", ("speed", "height"), (-100.0,) * 2, "mujoco"),
    ("mo-ant-v5", "walk in x and in y, spend little", ("x_speed", "y_speed", "energy"), (-100.0,) * 3, "mujoco"),
    ("mo-ant-2obj-v5", "walk in x and in y", ("x_speed", "y_speed"), (-100.0,) * 2, "mujoco"),
    ("mo-humanoid-v5", "walk fast, spend little", ("speed", "energy"), (-100.0,) * 2, "mujoco"),
    (
        "mo-lunar-lander-v3",
        "land on the pad, on little fuel",
        ("landing", "shaping", "main_engine", "side_engine"),
        (-101.0, -1001.0, -101.0, -101.0),
        "box2d",
    ),
    (
        "mo-lunar-lander-continuous-v3",
        "land on the pad, on little fuel, continuous throttle",
        ("landing", "shaping", "main_engine", "side_engine"),
        (-110.0, -400.0, -100.0, -100.0),
        "box2d",
    ),
)
for _id, _summary, _objectives, _reference_point, _extra in _HOST:
    register_env(EnvSpec(_id, _summary, _objectives, _reference_point, extra=_extra))
