"""Runs of earlier versions are still read; ``old_runs/format-3`` was made before checkpoints of trainings under way."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import morl
from morl.analysis import results
from morl.errors import UserError
from morl.loading import settings_of

OLD = Path(__file__).parent / "old_runs" / "format-3"


@pytest.fixture
def old(tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_of_an_earlier_version_is_read_and_its_policies_act(old):
    run = morl.load(old)
    assert run.finished
    assert run.front.returns[:, 0].tolist() == [3.534205436706543, 1.824066400527954]
    again = morl.evaluate(old, morl.EvaluateSettings(episodes=2))[0]
    np.testing.assert_allclose(again.returns, run.front.returns, rtol=1e-5)


def test_its_settings_have_the_names_of_today(old):
    """Read a config.yaml with the earlier names clip, keep and radius."""
    text = (old / "config.yaml").read_text()
    assert [name for name in ("clip", "keep", "radius") if f"\n{name}: " not in text] == []
    (read,) = results.read([old])
    assert {"clip_eps": 0.2, "constraint_beta": 0.9, "max_kl": 0.01}.items() <= dict(read.settings).items()
    (old / "config.yaml").write_text(text.replace("clip: 0.2", "clip: 0.3").replace("keep: 0.9", "keep: 0.8"))
    _, _, config = settings_of(old)
    assert (config.clip_eps, config.constraint_beta) == (0.3, 0.8)
    (read,) = results.read([old])
    assert "--clip-eps=0.3" in read.command
    assert "--constraint-beta=0.8" in read.command


def test_it_has_finished_and_is_left_alone(old):
    before = {file: file.stat().st_mtime_ns for file in old.rglob("*")}
    assert len(morl.train(resume=old).front) == 2
    assert {file: file.stat().st_mtime_ns for file in old.rglob("*")} == before


def test_one_of_a_later_version_says_what_to_do(old):
    config = old / "config.yaml"
    config.write_text(config.read_text().replace("format: 3", "format: 4"))
    with pytest.raises(UserError, match=r"has run format 4; .* reads format 3: pip install morlax==0\.1\.0 "):
        morl.load(old)
