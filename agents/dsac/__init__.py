"""Registration of separate soft actor-critics, one for each preference, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.dsac.algorithm import SeparateSAC as SeparateSAC
    from morl.agents.dsac.config import SeparateSACConfig as SeparateSACConfig

register_agent(
    AgentSpec(
        name="dsac",
        summary="one soft actor-critic for each preference: the reference for one policy for all",
        entry_point="morl.agents.dsac.algorithm:SeparateSAC",
        config="morl.agents.dsac.config:SeparateSACConfig",
        space="morl.agents.dsac.config:SPACE",
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "SeparateSAC": "morl.agents.dsac.algorithm:SeparateSAC",
        "SeparateSACConfig": "morl.agents.dsac.config:SeparateSACConfig",
    },
)
