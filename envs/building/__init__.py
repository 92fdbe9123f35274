"""Registrations of the building environments, as plain data: ids and reference points are those of the C-MORL paper."""

from __future__ import annotations

from morl.registry import EnvSpec, register_env

register_env(
    EnvSpec(
        id="building-3d-v0",
        summary="heat and cool 23 zones of an office: comfort against the price of energy and an uneven load",
        objectives=("comfort", "energy_price", "ramping"),
        reference_point=(0.0,) * 3,
        gamma=1.0,
        entry_point="morl.envs.building.environment:Building",
        max_episode_steps=288,
    )
)
register_env(
    EnvSpec(
        id="building-9d-v0",
        summary="the same, comfort, energy and ramping of each of three floors",
        objectives=tuple(
            f"{goal}_{floor}" for goal in ("comfort", "energy", "ramping") for floor in ("bottom", "middle", "top")
        ),
        reference_point=(0.0,) * 9,
        gamma=1.0,
        entry_point="morl.envs.building.environment:Building",
        kwargs={"by_floor": True},
        max_episode_steps=288,
    )
)
