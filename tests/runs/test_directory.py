"""A directory that is no run is refused with what it is, and the runs that may have been meant."""

from pathlib import Path

import pytest

from morl.errors import UserError
from morl.runs.directory import check_written


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/cmorl-1", "runs/cmorl-2", "here"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("")
    (tmp_path / "runs" / "cmorl-3").mkdir()
    (tmp_path / "file").write_text("")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("zzz", "zzz does not exist"),
        ("her", "her does not exist; did you mean here?"),
        ("cmorl-1", "cmorl-1 does not exist; did you mean runs/cmorl-1 or runs/cmorl-2?"),
        ("runs/cmorl-12", "runs/cmorl-12 does not exist; did you mean runs/cmorl-2 or runs/cmorl-1?"),
        ("file", "file is a file, not a run directory"),
        ("file/x", "file/x does not exist"),
        ("runs/cmorl-3", "runs/cmorl-3 is not a run directory: it has no config.yaml"),
        (
            "runs",
            "runs is not a run directory: it has no config.yaml; did you mean runs/cmorl-1 or runs/cmorl-2?",
        ),
        ("x" * 300, f"cannot read {'x' * 300}: File name too long"),
    ],
)
def test_what_is_no_run(path, message, runs, tmp_path):
    with pytest.raises(UserError) as caught:
        check_written(Path(path))
    assert str(caught.value) == message


def test_a_run_passes_and_a_study_is_called_one(runs, tmp_path):
    check_written(tmp_path / "here")
    with pytest.raises(UserError, match=r"here is not a study: it has no study\.yaml"):
        check_written(tmp_path / "here", "study.yaml", "study")
