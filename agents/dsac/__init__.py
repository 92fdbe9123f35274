"""Separate discrete soft actor-critics, one for each preference: their registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.dsac.algorithm import SeparateSAC as SeparateSAC
    from morl.agents.dsac.algorithm import SeparateSACConfig as SeparateSACConfig

register_agent(
    AgentSpec(
        name="dsac",
        summary="one discrete soft actor-critic for each preference: what one policy for all is measured by",
        entry_point="morl.agents.dsac.algorithm:SeparateSAC",
        config="morl.agents.dsac.algorithm:SeparateSACConfig",
        space="morl.agents.dsac.algorithm:SPACE",
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "SeparateSAC": "morl.agents.dsac.algorithm:SeparateSAC",
        "SeparateSACConfig": "morl.agents.dsac.algorithm:SeparateSACConfig",
    },
)
