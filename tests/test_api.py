"""The public API: what there is to import, and that it is typed."""

from pathlib import Path

import morl

PUBLIC = {
    *("AgentSpec", "EnvSpec", "EvaluateSettings", "Front", "MetricSpec", "Policy", "TrainSettings"),
    *("evaluate", "fill", "load", "make", "play", "prefer", "train", "register_agent", "register_env"),
    *("register_metric", "Run", "compare_runs", "evaluate_log", "export_policy", "record_log", "run_study", "sample"),
    "write_report",
}


def test_what_there_is_to_import():
    assert set(morl.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(morl, name).__doc__
    assert (Path(morl.__file__).parent / "py.typed").exists()


def test_what_is_listed():
    assert set(dir(morl)) > PUBLIC
    for name in dir(morl):
        assert getattr(morl, name) is not None


def test_packages_with_lazy_names_list_them():
    import morl.agents.cmorl
    import morl.tune

    assert {"Study", "StudyResult", "StudySettings", "run_study"} <= set(dir(morl.tune))
    assert {"CMORL", "CMORLConfig"} <= set(dir(morl.agents.cmorl))
