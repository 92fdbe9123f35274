"""Which agents can train on an environment."""

import pytest
from gymnasium import spaces

import morl
from morl import TrainSettings
from morl.errors import UserError
from morl.training.setup import prepare
from morl.training.suitability import can_train, make_agent, task_of, verdicts
from tests import tiny
from tests.probes import Probe


def test_verdicts_of_a_control_problem_and_of_a_constructive_one():
    found = verdicts(morl.make("deep-sea-treasure-v0"))
    assert {"cmorl", "dsac", "gmorl", "ppo"} <= set(found[0].agents)
    assert (found[0].reason, found[0].notes) == ("", ())
    assert can_train(found)
    assert all("constructive" in verdict.reason for verdict in found if {"mogfn", "mogfn-al"} & set(verdict.agents))
    (able,) = [verdict for verdict in verdicts(morl.make("ngrams-v0")) if "mogfn" in verdict.agents]
    assert able.reason == ""


@pytest.mark.parametrize(("agent", "name"), [("gmorl", "Many"), ("dsac", "Many"), ("mogfn", "Parts")])
def test_the_reason_is_the_message_of_training(agent, name):
    id = f"tests.envs.host.acting:morl-test/{name}-v0"
    with pytest.raises(UserError) as error:
        prepare(agent, TrainSettings(env=id, steps=10**7, reference_point=(0.0, 0.0)))
    (reason,) = [verdict.reason for verdict in verdicts(morl.make(id)) if agent in verdict.agents]
    assert str(error.value) == reason


def test_a_mask_needs_one_integer():
    class Masked(Probe):
        action_space = spaces.MultiBinary(2)
        observation_key = "x"

        def action_mask(self, obs):
            return obs

    found = verdicts(Masked("constant"))
    assert not can_train(found)
    assert "an action_mask is for a Discrete action space, not for MultiBinary" in found[0].reason


def test_an_agent_of_another_package_that_raises_is_told_in_one_line():
    with pytest.raises(UserError, match="agent tiny: learner raised AttributeError: 'Box' object has no attribute 'n'"):
        make_agent(tiny.SPEC, tiny.TinyConfig(), task_of(Probe("steer"), 0.9, 10**6))
