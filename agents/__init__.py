"""Agents: the registrations, as plain data (no JAX is imported here)."""

from __future__ import annotations

from morl.registry import AgentSpec, register_agent

register_agent(
    AgentSpec(
        name="cmorl",
        summary="C-MORL: constrained Pareto-front discovery (Liu et al., ICLR 2025)",
        entry_point="morl.agents.cmorl:CMORL",
        config="morl.agents.cmorl:CMORLConfig",
        space="morl.agents.cmorl:SPACE",
        protocols={"cmorl-paper": "morl.agents.cmorl_paper:protocol"},
    )
)
register_agent(
    AgentSpec(
        name="gmorl",
        summary="GMORL: one discrete soft actor-critic for every preference (Yang et al., 2025)",
        entry_point="morl.agents.gmorl:GMORL",
        config="morl.agents.gmorl:GMORLConfig",
        space="morl.agents.gmorl:SPACE",
        protocols={
            "gmorl-paper": "morl.agents.gmorl_paper:protocol",
            "gmorl-far": "morl.agents.gmorl_far:protocol",
        },
        split_cores=False,
    )
)

register_agent(
    AgentSpec(
        name="dsac",
        summary="one discrete soft actor-critic for each preference: what one policy for all is measured by",
        entry_point="morl.agents.gmorl:SeparateSAC",
        config="morl.agents.gmorl:SeparateSACConfig",
        space="morl.agents.gmorl:SEPARATE_SPACE",
    )
)

register_agent(
    AgentSpec(
        name="mogfn",
        summary="MOGFN-PC: one sampler of objects in proportion to any preference's reward (Jain et al., ICML 2023)",
        entry_point="morl.agents.mogfn_agent:MOGFNAgent",
        config="morl.agents.mogfn_config:MOGFNConfig",
        space="morl.agents.mogfn_config:SPACE",
        protocols={"mogfn-paper": "morl.agents.mogfn_paper:protocol"},
    )
)

register_agent(
    AgentSpec(
        name="mogfn-al",
        summary="MOGFN-AL: active learning of strings; a GFlowNet proposes what to label (Jain et al., ICML 2023)",
        entry_point="morl.agents.mogfn_al_loop:search",
        config="morl.agents.mogfn_al:MOGFNALConfig",
        space="morl.agents.mogfn_al:SPACE",
        search="morl.settings:SearchSettings",
    )
)
