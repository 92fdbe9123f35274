"""Agents: the registrations, as plain data (no JAX is imported here)."""

from __future__ import annotations

from morl.registry import AgentSpec, register_agent

register_agent(
    AgentSpec(
        name="cmorl",
        summary="C-MORL: constrained Pareto-front discovery (Liu et al., ICLR 2025)",
        entry_point="morl.agents.cmorl:CMORL",
        config="morl.agents.cmorl:CMORLConfig",
        protocols={"cmorl-paper": "morl.agents.cmorl_paper:protocol"},
    )
)
