"""Population-based training: trainings that continue another one's checkpoint with other settings."""

import dataclasses

import pytest
import yaml

import morl
from morl.settings import TrainSettings
from morl.tune import Study, StudySettings
from morl.tune.inheritance import inherit
from tests.tiny import TinyConfig
from tests.tune import population  # noqa: F401  # registers its agent

SETTINGS = TrainSettings(
    env="deep-sea-treasure-v0",
    steps=64 * 12,
    reference_point=(0.0, -25.0),
    evaluations=4,
    eval_episodes=2,
    final_episodes=2,
    checkpoint_minutes=0.0,
)


class Half:
    """Reporter that ends a training half-way, after a checkpoint."""

    def start(self, headline, path): ...

    def note(self, text): ...

    def update(self, status):
        if status.step >= 64 * 6:
            raise InterruptedError


def test_a_training_goes_on_from_another_ones_checkpoint(tmp_path):
    donor, heir = tmp_path / "donor", tmp_path / "heir"
    with pytest.raises(InterruptedError):
        morl.train(
            "tiny-population", dataclasses.replace(SETTINGS, out=donor), TinyConfig(step=0.5, rounds=0), reporter=Half()
        )
    heir.mkdir()
    (heir / "old").touch()
    inherit("tiny-population", donor, heir, TinyConfig(step=0.25, rounds=0), dataclasses.replace(SETTINGS, out=heir))
    assert not (heir / "old").exists()
    before = (donor / "metrics.csv").read_bytes()
    run = morl.train(resume=heir)
    assert run.finished
    assert yaml.safe_load((heir / "config.yaml").read_text())["step"] == 0.25
    assert "resumed at step" in (heir / "log.txt").read_text()
    assert (heir / "metrics.csv").read_bytes().startswith(before.rpartition(b"\n")[0].rpartition(b"\n")[0])
    assert (donor / "metrics.csv").read_bytes() == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_a_population_finishes_and_changes_settings_on_its_way(tmp_path):
    pytest.importorskip("ray")
    pytest.importorskip("optuna")
    settings = StudySettings(
        num_samples=4, scheduler="pbt", perturbations=2, held_out_seeds=0, modules=("tests.tune.population",)
    )
    training = dataclasses.replace(SETTINGS, out=tmp_path / "study", checkpoint_minutes=None)
    result = Study("tiny-population", training, TinyConfig(rounds=0), settings).run()
    assert result.finished
    assert [trial.state for trial in result.trials.values()] == ["finished"] * 4
    logs = [path.read_text() for path in (tmp_path / "study" / "trials").glob("*/log.txt")]
    assert all("resumed at step" in log for log in logs)
    config = [
        yaml.safe_load(p.read_text())["step"] for p in sorted((tmp_path / "study" / "trials").glob("*/config.yaml"))
    ]
    assert config == [trial.params["step"] for trial in result.trials.values()]
    started = [line for line in (tmp_path / "study" / "journal.jsonl").read_text().splitlines() if '"start"' in line]
    first = [yaml.safe_load(line)["params"]["step"] for line in started]
    assert config != first  # at least the worst one has other settings than it began with
