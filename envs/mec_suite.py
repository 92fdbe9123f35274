"""Registration of the task-offloading simulator, as plain data."""

from __future__ import annotations

from morl.registry import EnvSpec, register_env

register_env(
    EnvSpec(
        id="mec-offloading-v0",
        summary="place tasks on a cloud and edge servers: delay against energy (num_edges=6 fixes their number)",
        objectives=("delay", "energy"),
        reference_point=(-10_000.0, -20.0),
        gamma=1.0,
        entry_point="morl.envs.mec:MecOffloading",
        max_episode_steps=100,
    )
)
