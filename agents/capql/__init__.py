"""Registration of CAPQL (Lu et al., 2023), as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.capql.algorithm import CAPQL as CAPQL
    from morl.agents.capql.config import CAPQLConfig as CAPQLConfig

register_agent(
    AgentSpec(
        name="capql",
        summary="CAPQL: one soft actor-critic for every preference, from few steps (Lu et al., 2023)",
        entry_point="morl.agents.capql.algorithm:CAPQL",
        config="morl.agents.capql.config:CAPQLConfig",
        space="morl.agents.capql.config:SPACE",
        protocols={
            "paper": "morl.agents.capql.presets:paper",
            "benchmark": "morl.agents.capql.presets:benchmark",
        },
        solution_set="morl.training.solution_sets:ConditionalPolicy",
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "CAPQL": "morl.agents.capql.algorithm:CAPQL",
        "CAPQLConfig": "morl.agents.capql.config:CAPQLConfig",
    },
)
