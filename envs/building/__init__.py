"""Registrations of the building environments, as plain data, with the ids and reference points of the C-MORL paper."""

from __future__ import annotations

from morl.registry import EnvSpec, Objective, register_env

BUILDING_3D = register_env(
    EnvSpec(
        id="building-3d-v0",
        summary="heat and cool 23 zones of an office: comfort against the price of energy and an uneven load",
        objectives=(Objective("comfort"), Objective("energy_price"), Objective("ramping")),
        reference_point=(0.0,) * 3,
        gamma=1.0,
        entry_point="morl.envs.building.environment:Building",
        max_episode_steps=288,
    )
)
BUILDING_9D = register_env(
    EnvSpec(
        id="building-9d-v0",
        summary="the same, comfort, energy and ramping of each of three floors",
        objectives=tuple(
            Objective(f"{goal}_{floor}")
            for goal in ("comfort", "energy", "ramping")
            for floor in ("bottom", "middle", "top")
        ),
        reference_point=(0.0,) * 9,
        gamma=1.0,
        entry_point="morl.envs.building.environment:Building",
        kwargs={"by_floor": True},
        max_episode_steps=288,
    )
)
