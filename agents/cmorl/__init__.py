"""C-MORL (Liu et al., ICLR 2025): its registration, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.cmorl.algorithm import CMORL as CMORL
    from morl.agents.cmorl.config import CMORLConfig as CMORLConfig

register_agent(
    AgentSpec(
        name="cmorl",
        summary="C-MORL: constrained Pareto-front discovery (Liu et al., ICLR 2025)",
        entry_point="morl.agents.cmorl.algorithm:CMORL",
        config="morl.agents.cmorl.config:CMORLConfig",
        space="morl.agents.cmorl.config:SPACE",
        protocols={"paper": "morl.agents.cmorl.presets:protocol", "tuned": "morl.agents.cmorl.presets:tuned"},
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "CMORL": "morl.agents.cmorl.algorithm:CMORL",
        "CMORLConfig": "morl.agents.cmorl.config:CMORLConfig",
    },
)
