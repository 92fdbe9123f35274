"""Registrations of the classic suite in JAX, as plain data: ids are MO-Gymnasium's.

Reference points are the ones fronts of these environments are published with, where they are; else what the worst
sensible policy gets.
"""

from __future__ import annotations

from morl.registry import EnvSpec, register_env

_NUTRIENTS = ("protein", "carbs", "fats", "vitamins", "minerals", "water")

for _name, _suffix in (("convex", ""), ("concave", "-concave"), ("mirrored", "-mirrored")):
    register_env(
        EnvSpec(
            id=f"deep-sea-treasure{_suffix}-v0",
            summary=f"a submarine trades time for treasure ({_name} map)",
            objectives=("treasure", "time"),
            reference_point=(0.0, -50.0),
            gamma=1.0,
            entry_point="morl.envs.classic.deep_sea_treasure:DeepSeaTreasure",
            kwargs={"map": _name},
            max_episode_steps=100,
        )
    )
register_env(
    EnvSpec(
        id="resource-gathering-v0",
        summary="gather gold and a gem past two enemies",
        objectives=("enemy", "gold", "gem"),
        reference_point=(-1.0,) * 3,
        entry_point="morl.envs.classic.resource_gathering:ResourceGathering",
        max_episode_steps=100,
    )
)
register_env(
    EnvSpec(
        id="four-room-v0",
        summary="collect shapes of three kinds on the way to the goal",
        objectives=("blue", "green", "red"),
        reference_point=(-1.0,) * 3,
        entry_point="morl.envs.classic.four_room:FourRoom",
        max_episode_steps=200,
    )
)
register_env(
    EnvSpec(
        id="fruit-tree-v0",
        summary="walk down a binary tree to one of 64 fruits of six nutrients (depth=5 or 7: 32 or 128)",
        objectives=_NUTRIENTS,
        reference_point=(-1.0,) * 6,
        entry_point="morl.envs.classic.fruit_tree:FruitTree",
    )
)
register_env(
    EnvSpec(
        id="breakable-bottles-v0",
        summary="carry two bottles home without leaving a mess",
        objectives=("time", "bottles", "mess"),
        reference_point=(-100.0, 0.0, -1.0),
        entry_point="morl.envs.classic.breakable_bottles:BreakableBottles",
        max_episode_steps=100,
    )
)
register_env(
    EnvSpec(
        id="fishwood-v0",
        summary="fish or fetch wood, one at a time",
        objectives=("fish", "wood"),
        reference_point=(0.0, 0.0),
        entry_point="morl.envs.classic.fishwood:Fishwood",
        max_episode_steps=200,
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
            entry_point="morl.envs.classic.minecart:Minecart",
            kwargs={"deterministic": _deterministic},
            max_episode_steps=1000,
        )
    )
for _suffix, _summary, _objectives, _kwargs in (
    ("", "time, reversing and going forward cost", ("time", "reverse", "forward"), {}),
    (
        "-3d",
        "time and moves cost, speed pays",
        ("time", "moves", "speed"),
        {"add_speed_objective": True, "merge_move_penalty": True},
    ),
    ("-timemove", "time and moves cost", ("time", "moves"), {"merge_move_penalty": True}),
    (
        "-timespeed",
        "time costs, speed pays",
        ("time", "speed"),
        {"add_speed_objective": True, "remove_move_penalty": True},
    ),
):
    register_env(
        EnvSpec(
            id=f"mo-mountaincar{_suffix}-v0",
            summary=f"swing out of a valley: {_summary}",
            objectives=_objectives,
            reference_point=tuple(0.0 if name == "speed" else -200.0 for name in _objectives),
            entry_point="morl.envs.classic.mountain_car:MountainCar",
            kwargs=_kwargs,
            max_episode_steps=200,
        )
    )
register_env(
    EnvSpec(
        id="mo-mountaincarcontinuous-v0",
        summary="swing out of a valley by a continuous force: time and fuel cost",
        objectives=("time", "fuel"),
        reference_point=(-110.0, -110.0),
        entry_point="morl.envs.classic.mountain_car:MountainCarContinuous",
        max_episode_steps=999,
    )
)
register_env(
    EnvSpec(
        id="water-reservoir-v0",
        summary="release water to meet demand without flooding",
        objectives=("flood_upstream", "water_deficit"),
        reference_point=(-6500.0, -5000.0),
        entry_point="morl.envs.classic.water_reservoir:WaterReservoir",
        max_episode_steps=100,
    )
)
