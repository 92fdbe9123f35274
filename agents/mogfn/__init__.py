"""MOGFN-PC (Jain et al., ICML 2023): its registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.mogfn.algorithm import MOGFN as MOGFN
    from morl.agents.mogfn.config import MOGFNConfig as MOGFNConfig

register_agent(
    AgentSpec(
        name="mogfn",
        summary="MOGFN-PC: one sampler of objects in proportion to any preference's reward (Jain et al., ICML 2023)",
        entry_point="morl.agents.mogfn.agent:MOGFNAgent",
        config="morl.agents.mogfn.config:MOGFNConfig",
        space="morl.agents.mogfn.config:SPACE",
        protocols={"paper": "morl.agents.mogfn.presets:protocol", "guided": "morl.agents.mogfn.presets:guided"},
        backend="morl.constructive.backend:make_backend",
        solution_set="morl.constructive.sample_sets:SampledObjects",
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "MOGFN": "morl.agents.mogfn.algorithm:MOGFN",
        "MOGFNConfig": "morl.agents.mogfn.config:MOGFNConfig",
    },
)
