"""Vector-reward environments: the registrations, as plain data (no JAX, no environment module is imported here).

Reference points are the ones fronts of these environments are published with.
"""

from __future__ import annotations

from morl.registry import EnvSpec, register_env

_DST = "morl.envs.deep_sea_treasure:DeepSeaTreasure"
_MINECART = "morl.envs.minecart:Minecart"

for _name, _suffix in (("convex", ""), ("concave", "-concave"), ("mirrored", "-mirrored")):
    register_env(
        EnvSpec(
            id=f"deep-sea-treasure{_suffix}-v0",
            summary=f"a submarine trades time for treasure ({_name} map)",
            objectives=("treasure", "time"),
            reference_point=(0.0, -50.0),
            gamma=1.0,
            entry_point=_DST,
            kwargs={"map": _name},
            max_episode_steps=100,
        )
    )
for _deterministic, _suffix in ((False, ""), (True, "-deterministic")):
    register_env(
        EnvSpec(
            id=f"minecart{_suffix}-v0",
            summary=f"fetch two ores from five mines on little fuel ({'fixed' if _deterministic else 'random'} yield)",
            objectives=("ore_1", "ore_2", "fuel"),
            reference_point=(-1.0, -1.0, -200.0),
            gamma=0.98,
            entry_point=_MINECART,
            kwargs={"deterministic": _deterministic},
            max_episode_steps=1000,
        )
    )

_HOST: tuple[tuple[str, str, tuple[str, ...], tuple[float, ...], str | None], ...] = (
    ("resource-gathering-v0", "gather gold and gems past two enemies", ("enemy", "gold", "gem"), (-1.0,) * 3, None),
    (
        "fruit-tree-v0",
        "walk down a binary tree to one of 64 fruits of six nutrients",
        ("protein", "carbs", "fats", "vitamins", "minerals", "water"),
        (-1.0,) * 6,
        None,
    ),
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
