"""Registrations of the classic suite in JAX, as plain data, under MO-Gymnasium's ids.

The environments read their objectives and reference point from here. Reference points are those that fronts of these
environments are published with; where there are none, the returns of the worst sensible policy.
"""

from __future__ import annotations

from morl.registry import EnvSpec, Objective, register_env

_NUTRIENTS = ("protein", "carbs", "fats", "vitamins", "minerals", "water")

DEEP_SEA_TREASURE = {
    map: register_env(
        EnvSpec(
            id=f"deep-sea-treasure{suffix}-v0",
            summary=f"a submarine trades time for treasure ({map} map)",
            objectives=(Objective("treasure"), Objective("time", "steps")),
            reference_point=(0.0, -50.0),
            gamma=1.0,
            entry_point="morl.envs.classic.deep_sea_treasure:DeepSeaTreasure",
            kwargs={"map": map},
            max_episode_steps=100,
        )
    )
    for map, suffix in (("convex", ""), ("concave", "-concave"), ("mirrored", "-mirrored"))
}
RESOURCE_GATHERING = register_env(
    EnvSpec(
        id="resource-gathering-v0",
        summary="gather gold and a gem past two enemies",
        objectives=(Objective("enemy"), Objective("gold"), Objective("gem")),
        reference_point=(-1.0,) * 3,
        entry_point="morl.envs.classic.resource_gathering:ResourceGathering",
        max_episode_steps=100,
    )
)
FOUR_ROOM = register_env(
    EnvSpec(
        id="four-room-v0",
        summary="collect shapes of three kinds on the way to the goal",
        objectives=(Objective("blue"), Objective("green"), Objective("red")),
        reference_point=(-1.0,) * 3,
        entry_point="morl.envs.classic.four_room:FourRoom",
        max_episode_steps=200,
    )
)
FRUIT_TREE = register_env(
    EnvSpec(
        id="fruit-tree-v0",
        summary="walk down a binary tree to one of 64 fruits of six nutrients (depth=5 or 7: 32 or 128)",
        objectives=tuple(Objective(name) for name in _NUTRIENTS),
        reference_point=(-1.0,) * 6,
        entry_point="morl.envs.classic.fruit_tree:FruitTree",
    )
)
BREAKABLE_BOTTLES = register_env(
    EnvSpec(
        id="breakable-bottles-v0",
        summary="carry two bottles home without leaving a mess",
        objectives=(Objective("time", "steps"), Objective("bottles"), Objective("mess")),
        reference_point=(-100.0, 0.0, -1.0),
        entry_point="morl.envs.classic.breakable_bottles:BreakableBottles",
        max_episode_steps=100,
    )
)
FISHWOOD = register_env(
    EnvSpec(
        id="fishwood-v0",
        summary="fish or fetch wood, one at a time",
        objectives=(Objective("fish"), Objective("wood")),
        reference_point=(0.0, 0.0),
        entry_point="morl.envs.classic.fishwood:Fishwood",
        max_episode_steps=200,
    )
)
MINECART, MINECART_DETERMINISTIC = (
    register_env(
        EnvSpec(
            id=f"minecart{suffix}-v0",
            summary=f"fetch two ores from five mines on little fuel ({'fixed' if deterministic else 'random'} yield)",
            objectives=(Objective("ore_1"), Objective("ore_2"), Objective("fuel")),
            reference_point=(-1.0, -1.0, -200.0),
            gamma=0.98,
            entry_point="morl.envs.classic.minecart:Minecart",
            kwargs={"deterministic": deterministic},
            max_episode_steps=1000,
        )
    )
    for deterministic, suffix in ((False, ""), (True, "-deterministic"))
)
MOUNTAIN_CAR = {  # by name: objective, and its return in the reference point
    "time": (Objective("time", "steps"), -200.0),
    "reverse": (Objective("reverse", "steps"), -200.0),
    "forward": (Objective("forward", "steps"), -200.0),
    "moves": (Objective("moves", "steps"), -200.0),
    "speed": (Objective("speed"), 0.0),
}
for _suffix, _summary, _names, _kwargs in (
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
            objectives=tuple(MOUNTAIN_CAR[name][0] for name in _names),
            reference_point=tuple(MOUNTAIN_CAR[name][1] for name in _names),
            entry_point="morl.envs.classic.mountain_car:MountainCar",
            kwargs=_kwargs,
            max_episode_steps=200,
        )
    )
MOUNTAIN_CAR_CONTINUOUS = register_env(
    EnvSpec(
        id="mo-mountaincarcontinuous-v0",
        summary="swing out of a valley by a continuous force: time and fuel cost",
        objectives=(Objective("time", "steps"), Objective("fuel")),
        reference_point=(-110.0, -110.0),
        entry_point="morl.envs.classic.mountain_car:MountainCarContinuous",
        max_episode_steps=999,
    )
)
WATER_RESERVOIR_OBJECTIVES = tuple(
    map(Objective, ("flood_upstream", "water_deficit", "hydro_deficit", "flood_downstream"))
)
WATER_RESERVOIR_WORST = (-65.0, -50.0, -4.36, -65.0)  # a step: the reference's anti-utopia floods, nothing supplied
register_env(
    EnvSpec(
        id="water-reservoir-v0",
        summary="release water to meet demand without flooding",
        objectives=WATER_RESERVOIR_OBJECTIVES[:2],
        reference_point=tuple(100 * worst for worst in WATER_RESERVOIR_WORST[:2]),
        entry_point="morl.envs.classic.water_reservoir:WaterReservoir",
        max_episode_steps=100,
    )
)
