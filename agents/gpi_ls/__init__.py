"""Registration of GPI-LS (Alegre et al., AAMAS 2023), as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names
from morl.registry import AgentSpec, register_agent

if TYPE_CHECKING:
    from morl.agents.gpi_ls.agent import GPILSAgent as GPILSAgent
    from morl.agents.gpi_ls.config import GPILSConfig as GPILSConfig

register_agent(
    AgentSpec(
        name="gpi-ls",
        summary="GPI-LS: one policy for every preference, trained for corner weights (Alegre et al., AAMAS 2023)",
        entry_point="morl.agents.gpi_ls.agent:GPILSAgent",
        config="morl.agents.gpi_ls.config:GPILSConfig",
        space="morl.agents.gpi_ls.config:SPACE",
        protocols={
            "paper": "morl.agents.gpi_ls.presets:paper",
            "benchmark": "morl.agents.gpi_ls.presets:benchmark",
        },
        solution_set="morl.training.solution_sets:LinearSupport",
        split_cores=False,
    )
)
__getattr__ = lazy_names(
    __name__,
    {
        "GPILSAgent": "morl.agents.gpi_ls.agent:GPILSAgent",
        "GPILSConfig": "morl.agents.gpi_ls.config:GPILSConfig",
    },
)
