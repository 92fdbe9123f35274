"""PPO with a vector critic, one policy for each preference: its registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.ppo.agent import PPOAgent as PPOAgent
    from morl.agents.ppo.config import PPOAgentConfig as PPOAgentConfig

register_agent(
    AgentSpec(
        name="ppo",
        summary="PPO: one policy for each preference, with a vector critic (Schulman et al., 2017)",
        entry_point="morl.agents.ppo.agent:PPOAgent",
        config="morl.agents.ppo.config:PPOAgentConfig",
        space="morl.agents.ppo.config:SPACE",
        protocols={
            "dynamic-weights": "morl.agents.ppo.presets:dynamic_weights",
            "dynamic-weights-slow": "morl.agents.ppo.presets:dynamic_weights_slow",
        },
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "PPOAgent": "morl.agents.ppo.agent:PPOAgent",
        "PPOAgentConfig": "morl.agents.ppo.config:PPOAgentConfig",
    },
)
