"""Registrations of MO-Gymnasium's environments on Box2D, highway-env and pixels, which run on the host.

Reference points are those that fronts of these environments are published with; where there are none, the returns of
the worst sensible policy.
"""

from __future__ import annotations

from morl.envs.classic import MINECART
from morl.registry import EnvSpec, Objective, register_env

_HIGHWAY = (Objective("speed"), Objective("right_lane"), Objective("collision"))
_LANDING = (Objective("landing"), Objective("shaping"), Objective("main_engine"), Objective("side_engine"))

for _spec in (
    EnvSpec(
        "mo-lunar-lander-v3",
        "land on the pad, on little fuel",
        _LANDING,
        (-101.0, -1001.0, -101.0, -101.0),
        extra="box2d",
    ),
    EnvSpec(
        "mo-lunar-lander-continuous-v3",
        "land on the pad, on little fuel, continuous throttle",
        _LANDING,
        (-110.0, -400.0, -100.0, -100.0),
        extra="box2d",
    ),
    EnvSpec("mo-highway-v0", "drive fast, keep right, do not crash", _HIGHWAY, (0.0, 0.0, -2.0), extra="highway"),
    EnvSpec("mo-highway-fast-v0", "the same with less traffic", _HIGHWAY, (0.0, 0.0, -2.0), extra="highway"),
    EnvSpec(
        "minecart-rgb-v0", "minecart seen as pixels", MINECART.objectives, MINECART.reference_point, MINECART.gamma
    ),
):
    register_env(_spec)
