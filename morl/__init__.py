"""Multi-objective reinforcement learning in JAX: vector-reward environments and Pareto fronts of policies.

Importing this loads no JAX: what needs it is loaded when first used. It adds the JAX-native environments to Gymnasium's
registry, as ``gymnasium.make("morl/minecart-v0")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from morl.environments import make, register_all, register_env
from morl.lazy import lazy_names
from morl.registry import AgentSpec, EnvSpec, MetricSpec, register_agent, register_metric

if TYPE_CHECKING:
    from morl.analysis.comparison import compare_runs
    from morl.analysis.filling.fill import fill
    from morl.analysis.offline.evaluation import evaluate_log
    from morl.analysis.offline.recording import record_log
    from morl.analysis.playback import play
    from morl.analysis.preference.session import prefer
    from morl.constructive.sampling import sample
    from morl.export import export as export_policy
    from morl.loading import load
    from morl.loading import reevaluate as evaluate
    from morl.report import write_report
    from morl.runs.directory import Run
    from morl.runs.front import Front, Policy
    from morl.settings import EvaluateSettings, TrainSettings
    from morl.training.loop import train
    from morl.tune.run import run_study

__version__: str
__all__ = [
    "AgentSpec",
    "EnvSpec",
    "EvaluateSettings",
    "Front",
    "MetricSpec",
    "Policy",
    "Run",
    "TrainSettings",
    "compare_runs",
    "evaluate",
    "evaluate_log",
    "export_policy",
    "fill",
    "load",
    "make",
    "play",
    "prefer",
    "record_log",
    "register_agent",
    "register_env",
    "register_metric",
    "run_study",
    "sample",
    "train",
    "write_report",
]

_LAZY = {
    "EvaluateSettings": "morl.settings:EvaluateSettings",
    "Front": "morl.runs.front:Front",
    "Policy": "morl.runs.front:Policy",
    "Run": "morl.runs.directory:Run",
    "TrainSettings": "morl.settings:TrainSettings",
    "compare_runs": "morl.analysis.comparison:compare_runs",
    "evaluate": "morl.loading:reevaluate",
    "evaluate_log": "morl.analysis.offline.evaluation:evaluate_log",
    "export_policy": "morl.export:export",
    "fill": "morl.analysis.filling.fill:fill",
    "load": "morl.loading:load",
    "play": "morl.analysis.playback:play",
    "prefer": "morl.analysis.preference.session:prefer",
    "record_log": "morl.analysis.offline.recording:record_log",
    "run_study": "morl.tune.run:run_study",
    "sample": "morl.constructive.sampling:sample",
    "train": "morl.training.loop:train",
    "write_report": "morl.report:write_report",
    **{
        name: f"morl.{name}"
        for name in ("agents", "analysis", "envs", "export", "ops", "report", "runs", "tune", "viz")
    },
}
_load = lazy_names(__name__, _LAZY)


def __getattr__(name: str) -> Any:
    if name == "__version__":  # reading a distribution's metadata is a good part of what importing this would take
        from importlib.metadata import version

        return version("morlax")
    return _load(name)


register_all()
