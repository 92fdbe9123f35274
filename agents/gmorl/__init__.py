"""Registration of GMORL (Yang et al., 2025), as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.gmorl.algorithm import GMORL as GMORL
    from morl.agents.gmorl.config import GMORLConfig as GMORLConfig

register_agent(
    AgentSpec(
        name="gmorl",
        summary="GMORL: one soft actor-critic for every preference (Yang et al., 2025)",
        entry_point="morl.agents.gmorl.algorithm:GMORL",
        config="morl.agents.gmorl.config:GMORLConfig",
        space="morl.agents.gmorl.config:SPACE",
        protocols={
            "paper": "morl.agents.gmorl.presets:paper",
            "far": "morl.agents.gmorl.presets:far",
        },
        solution_set="morl.training.solution_sets:ConditionalPolicy",
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "GMORL": "morl.agents.gmorl.algorithm:GMORL",
        "GMORLConfig": "morl.agents.gmorl.config:GMORLConfig",
    },
)
