"""MOGFN-AL (Jain et al., ICML 2023): its registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.mogfn_al.config import MOGFNALConfig as MOGFNALConfig

register_agent(
    AgentSpec(
        name="mogfn-al",
        summary="MOGFN-AL: active learning of strings; a GFlowNet proposes what to label (Jain et al., ICML 2023)",
        entry_point="morl.agents.mogfn_al.agent:MOGFNAL",
        config="morl.agents.mogfn_al.config:MOGFNALConfig",
        space="morl.agents.mogfn_al.config:SPACE",
        settings="morl.settings:SearchSettings",
        backend="morl.constructive.labelling:make_backend",
        solution_set="morl.constructive.labelling:LabelledObjects",
        split_cores=False,
        packages=("torch", "gpytorch", "botorch"),
    )
)
__getattr__ = lazy_names(__name__, {"MOGFNALConfig": "morl.agents.mogfn_al.config:MOGFNALConfig"})
