"""A study by one call: which of its three dataclasses each keyword reaches."""

import pytest

import morl
from morl.errors import UserError
from morl.tune import run
from morl.tune.settings import StudySettings
from tests.walks import JaxWalk


class Noted:
    """Stand-in for a study that keeps what it is asked for."""

    def __init__(self, *arguments):
        self.arguments = arguments

    @classmethod
    def resume(cls, path, **changes):
        return cls(path, changes)

    def run(self, reporter, should_stop):
        return self.arguments


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    monkeypatch.setattr(run, "Study", Noted)


def test_keywords_reach_the_study_the_trainings_and_the_agent():
    asked = {"steps": 2e5, "num_samples": 7, "epochs": 3, "max_kl": 0.1, "out": "studies/x"}
    agent, training, config, settings, space = morl.run_study("cmorl", "minecart-v0", space={"clip_eps": 0.3}, **asked)
    assert agent == "cmorl"
    assert (training.env, training.steps, training.num_seeds) == ("minecart-v0", 200_000, 3)
    assert str(training.out) == "studies/x"
    assert (config.epochs, config.max_kl) == (3, 0.1)
    assert settings == StudySettings(num_samples=7)
    assert space == {"epochs": None, "max_kl": None, "clip_eps": 0.3}, "what is given is not searched"


def test_objects_that_trials_can_make_again():
    training = morl.run_study("cmorl", JaxWalk, env_kwargs={"kind": "dent"})[1]
    assert (training.env, training.env_kwargs) == ("tests.walks:JaxWalk", {"kind": "dent"})
    with pytest.raises(UserError, match="cannot make <JaxWalk> again: give an id or module:Name"):
        morl.run_study("cmorl", JaxWalk("dent"))


def test_a_study_is_resumed_with_its_own_settings():
    assert morl.run_study(resume="studies/x", num_samples=9) == ("studies/x", {"num_samples": 9})
    with pytest.raises(UserError, match="give none beside resume"):
        morl.run_study(env="minecart-v0", resume="studies/x")
    with pytest.raises(UserError, match="unknown setting 'num_sample'; did you mean num_samples"):
        morl.run_study(num_sample=9)
