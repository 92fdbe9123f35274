"""Registration of D3PO (Ambadkar et al., 2026), as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.d3po.agent import D3POAgent as D3POAgent
    from morl.agents.d3po.config import D3POConfig as D3POConfig

register_agent(
    AgentSpec(
        name="d3po",
        summary="D3PO: one PPO policy for every preference (Ambadkar et al., 2026)",
        entry_point="morl.agents.d3po.agent:D3POAgent",
        config="morl.agents.d3po.config:D3POConfig",
        space="morl.agents.d3po.config:SPACE",
        protocols={"benchmark": "morl.agents.d3po.presets:benchmark"},
        solution_set="morl.training.solution_sets:ConditionalPolicy",
        split_cores=False,
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "D3POAgent": "morl.agents.d3po.agent:D3POAgent",
        "D3POConfig": "morl.agents.d3po.config:D3POConfig",
    },
)
