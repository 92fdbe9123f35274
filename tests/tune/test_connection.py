"""Start of Ray: a folder for its sockets, whose paths have a limit, and what it says where it cannot start."""

import os
import tempfile
from pathlib import Path

import pytest

from morl.errors import UserError
from morl.tune.on_ray import connection
from morl.tune.settings import StudySettings

LONG = "/".join(["slurm_jobdir"] * 5)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_that_is_too_long_for_sockets_is_replaced(variable, tmp_path, monkeypatch):
    own = tmp_path / LONG
    own.mkdir(parents=True)
    monkeypatch.setenv(variable, str(own))
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python remembers the first answer
    with connection._short_folder() as folder:
        assert Path(folder).is_dir()
        assert len(os.fsencode(folder)) + connection.BELOW <= connection.SOCKET
    assert not Path(folder).exists()


def test_a_short_folder_is_left_to_ray(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/x")
    with connection._short_folder() as folder:
        assert folder is None


def test_without_a_short_folder_one_line_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", f"/{LONG}")
    monkeypatch.setattr(connection, "SHORT", (str(tmp_path / "missing"),))
    says = r"set RAY_TMPDIR to a folder of at most 3\d characters"
    with pytest.raises(UserError, match=says), connection._short_folder():
        pass


@pytest.mark.parametrize("kind", [Exception, RuntimeError, ConnectionError])
def test_a_ray_that_does_not_start_is_one_line(kind, monkeypatch):
    ray = pytest.importorskip("ray")

    def init(**options):
        raise kind("The current node timed out during startup.\nThis could happen")

    monkeypatch.setattr(ray, "init", init)
    says = r"Ray cannot be started on this machine: The current node timed out during startup\. This could happen$"
    with pytest.raises(UserError, match=says):
        connection._connect(StudySettings(), None)
    with pytest.raises(UserError, match="there is no Ray cluster at elsewhere:6379: The current node"):
        connection._connect(StudySettings(address="elsewhere:6379"), None)
