"""The public API: what there is to import, and that it is typed."""

from pathlib import Path

import morl

PUBLIC = {
    *("AgentSpec", "EnvSpec", "EvaluateSettings", "Front", "MetricSpec", "Policy", "TrainSettings"),
    *("evaluate", "load", "make", "play", "register_agent", "register_env", "register_metric", "train"),
    "sample",
}


def test_what_there_is_to_import():
    assert set(morl.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(morl, name).__doc__
    assert (Path(morl.__file__).parent / "py.typed").exists()
