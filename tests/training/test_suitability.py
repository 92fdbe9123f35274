"""Which agents can train on an environment."""

from typing import ClassVar

import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl import TrainSettings
from morl.errors import UserError
from morl.registry import AgentSpec
from morl.training.setup import prepare
from morl.training.suitability import can_train, make_agent, task_of, verdicts
from morl.types import Agent
from tests import tiny
from tests.probes import Probe
from tests.tiny import Tiny


def test_verdicts_of_a_control_problem_and_of_a_constructive_one():
    found = verdicts(morl.make("deep-sea-treasure-v0"))
    assert {"capql", "cmorl", "d3po", "dsac", "gmorl", "gpi-ls", "ppo"} <= set(found[0].agents)
    assert (found[0].reason, found[0].notes) == ("", ())
    assert can_train(found)
    assert all("constructive" in verdict.reason for verdict in found if {"mogfn", "mogfn-al"} & set(verdict.agents))
    (able,) = [verdict for verdict in verdicts(morl.make("ngrams-v0")) if "mogfn" in verdict.agents]
    assert able.reason == ""


@pytest.mark.parametrize(
    ("agent", "name"), [("capql", "Many"), ("gmorl", "Many"), ("dsac", "Many"), ("mogfn", "Parts")]
)
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


class Bare(Tiny):
    """Agent that makes what it is told by ``change``."""

    change: ClassVar = {}

    def __getattribute__(self, name):
        change = type(self).change
        return change[name] if name in change else super().__getattribute__(name)


class Forgetful(Agent):
    """Agent that has nothing but the protocol's own."""

    def __init__(self, config, task):
        pass


class Duck:
    """Agent without the defaults of the protocol."""

    def __init__(self, config, task):
        self.learner, self.preferences, self.updates = None, [[1.0, 0.0]], 1


class Unteachable:
    """Learner without ``update``."""

    num_envs = rollout_steps = 1
    init = policy = act = to_env = print


@pytest.mark.parametrize(
    ("entry_point", "change", "message"),
    [
        ("Forgetful", {}, "agent odd has no learner; subclass morl.types.Agent"),
        ("Duck", {}, "agent odd has no extension; subclass morl.types.Agent, which has defaults for what may be left"),
        ("Bare", {"learner": Unteachable()}, "agent odd: its learner has no update; see morl.types.Learner"),
        ("Bare", {"updates": 2.5}, "agent odd: updates must be a whole number, not 2.5"),
        ("Bare", {"updates": None}, "agent odd: updates must be a whole number, not None"),
        ("Bare", {"preferences": [0.5, 0.5]}, r"preferences must be of shape \(K, 2\) or \(K, B, 2\), not \(2,\)"),
        ("Bare", {"preferences": np.ones((4, 3))}, r"or \(K, B, 2\), not \(4, 3\)"),
        ("Bare", {"preferences": [[0.5, np.nan]]}, "agent odd: preferences must be finite"),
        ("Bare", {"preferences": [[0.5], [1, 2]]}, "agent odd: preferences must be an array of numbers"),
    ],
)
def test_an_agent_of_another_package_that_breaks_its_contract(entry_point, change, message, monkeypatch):
    monkeypatch.setattr(Bare, "change", change)
    spec = AgentSpec("odd", "", f"{__name__}:{entry_point}", "tests.tiny:TinyConfig")
    with pytest.raises(UserError, match=message):
        make_agent(spec, tiny.TinyConfig(), task_of(Probe("choice"), 0.9, 10**6))
