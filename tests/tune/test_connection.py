"""Folder for the sockets of a Ray that is started here, whose paths have a limit."""

import os
import tempfile
from pathlib import Path

import pytest

from morl.errors import UserError
from morl.tune.on_ray import connection

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
