"""Registration of task offloading in mobile edge computing, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import EnvSpec, Objective, register_env

if TYPE_CHECKING:
    from morl.envs.mec.environment import MecOffloading as MecOffloading

MEC_OFFLOADING = register_env(
    EnvSpec(
        id="mec-offloading-v0",
        summary="place tasks on a cloud and edge servers: delay against energy (num_edges=6 fixes their number)",
        objectives=(Objective("delay", "s"), Objective("energy", "J")),
        reference_point=(-10_000.0, -20.0),
        gamma=1.0,
        entry_point="morl.envs.mec.environment:MecOffloading",
        max_episode_steps=100,
    )
)
__getattr__ = lazy_names(__name__, {"MecOffloading": "morl.envs.mec.environment:MecOffloading"})
