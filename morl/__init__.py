"""Multi-objective reinforcement learning in JAX: vector-reward environments and Pareto fronts of policies.

Importing this loads no JAX: what needs it is loaded when first used. It adds the JAX-native environments to Gymnasium's
registry, as ``gymnasium.make("morl/minecart-v0")``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from morl.environments import make, register_all, register_env
from morl.registry import AgentSpec, EnvSpec, MetricSpec, register_agent, register_metric

if TYPE_CHECKING:
    from morl.analysis.playback import play
    from morl.constructive.sampling import sample
    from morl.loading import load
    from morl.loading import reevaluate as evaluate
    from morl.runs.front import Front, Policy
    from morl.settings import EvaluateSettings, TrainSettings
    from morl.training.loop import train

__version__: str
__all__ = [
    "AgentSpec",
    "EnvSpec",
    "EvaluateSettings",
    "Front",
    "MetricSpec",
    "Policy",
    "TrainSettings",
    "evaluate",
    "load",
    "make",
    "play",
    "register_agent",
    "register_env",
    "register_metric",
    "sample",
    "train",
]

_LAZY = {
    "EvaluateSettings": "morl.settings:EvaluateSettings",
    "Front": "morl.runs.front:Front",
    "Policy": "morl.runs.front:Policy",
    "TrainSettings": "morl.settings:TrainSettings",
    "evaluate": "morl.loading:reevaluate",
    "load": "morl.loading:load",
    "play": "morl.analysis.playback:play",
    "sample": "morl.constructive.sampling:sample",
    "train": "morl.training.loop:train",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # reading a distribution's metadata is a good part of what importing this would take
        from importlib.metadata import version

        return version("morl-jax")
    if name not in _LAZY:
        raise AttributeError(f"module 'morl' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


register_all()
