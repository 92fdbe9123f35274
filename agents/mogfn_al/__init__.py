"""MOGFN-AL (Jain et al., ICML 2023): its registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.mogfn_al.algorithm import MOGFNALConfig as MOGFNALConfig

register_agent(
    AgentSpec(
        name="mogfn-al",
        summary="MOGFN-AL: active learning of strings; a GFlowNet proposes what to label (Jain et al., ICML 2023)",
        entry_point="morl.agents.mogfn_al.agent:MOGFNAL",
        config="morl.agents.mogfn_al.algorithm:MOGFNALConfig",
        space="morl.agents.mogfn_al.algorithm:SPACE",
        backend="morl.agents.mogfn_al.backend:make_backend",
        solution_set="morl.agents.mogfn_al.solution_set:LabelledObjects",
        settings="morl.settings:SearchSettings",
        split_cores=False,
    )
)
__getattr__ = lazy_names(__name__, {"MOGFNALConfig": "morl.agents.mogfn_al.algorithm:MOGFNALConfig"})
