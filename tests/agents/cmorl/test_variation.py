"""Children of archived policies: how they are made, and the last stage of a run that evaluates them."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.cmorl.config import CMORLConfig
from morl.agents.cmorl.variation import LEAST_NOISE, Variation
from morl.agents.ppo.types import Policy
from morl.errors import UserError
from morl.networks.mlp import MLP, Linear
from morl.settings import TrainSettings
from morl.training.evaluation import evaluate
from morl.training.setup import prepare

CONFIG = CMORLConfig(
    num_policies=2,
    num_envs=4,
    rollout_steps=16,
    epochs=1,
    minibatches=1,
    hidden=(8,),
    extension="none",
    variation_share=0.96,
    variation_episodes=1,
    variation_limit=30,
)


def policies(rng, number):
    def network():
        return MLP((Linear(rng.normal(size=(number, 50, 40)), rng.normal(size=(number, 40))),), "tanh")

    stats = rng.normal(size=(number, 3))
    return Policy(network(), rng.normal(size=(number, 0)), stats, network(), stats)


def variation(**changes):
    fields = {"steps": 1, "children": 200, "episodes": 1, "limit": None, "noise": 0.0, "line": 0.0}
    return Variation(**{**fields, **changes})


def test_children_are_their_parents_with_another_actor():
    held = policies(np.random.default_rng(0), 3)
    children, parents = variation(noise=0.5, line=0.5).children_of(held, np.random.default_rng(1))
    assert set(parents.tolist()) == {0, 1, 2}
    for name in ("obs_stats", "critic", "return_stats", "log_std"):
        jax.tree.map(
            lambda a, b: np.testing.assert_array_equal(a, b[parents]), getattr(children, name), getattr(held, name)
        )
    copies, rows = variation().children_of(held, np.random.default_rng(1))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[rows]), copies, held)
    assert children.actor.layers[0].weight.dtype == held.actor.layers[0].weight.dtype


def test_noise_is_in_deviations_of_a_layer_and_of_many_sizes():
    held = policies(np.random.default_rng(0), 3)
    children, parents = variation(noise=0.5).children_of(held, np.random.default_rng(1))
    before = held.actor.layers[0].weight[parents]
    size = (children.actor.layers[0].weight - before).std(axis=(1, 2)) / before.std(axis=(1, 2))
    assert 0.5 * LEAST_NOISE * 0.95 < size.min() < 0.5 * LEAST_NOISE * 1.2
    assert 0.45 < size.max() < 0.5 * 1.05
    assert np.isclose(np.median(size), 0.5 * LEAST_NOISE**0.5, rtol=0.2)  # of log-uniform draws


def test_a_step_along_the_line_to_another_policy():
    held = policies(np.random.default_rng(0), 2)
    children, parents = variation(line=0.5).children_of(held, np.random.default_rng(1))
    a, b = held.actor.layers[0].weight[parents], held.actor.layers[0].weight[1 - parents]
    share = (children.actor.layers[0].weight - a) / (b - a)  # one number for each child; 0 where both parents are one
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1], share.shape), atol=1e-9)
    moved = share[np.abs(share[:, 0, 0]) > 1e-9, 0, 0]
    assert 60 < len(moved) < 140
    assert np.isclose(moved.std(), 0.5, rtol=0.3)


def test_an_evaluation_with_a_limit_gives_up():
    env = morl.make("deep-sea-treasure-v0")

    class Down:
        """Learner whose policy, a number, is the action it takes."""

        def act(self, policy, obs, preference, key, *, greedy):
            return jnp.full(obs.shape[0], policy, jnp.int32)

        def to_env(self, action):
            return action

    down, up = 1, 0  # the first treasure is one step below; above is the surface
    inputs = (jnp.array([down, up]), jnp.full((2, 2), 0.5), jax.random.split(jax.random.key(0), 2))
    for limit, steps in ((3, 3), (None, 100), (1000, 100)):
        found = evaluate(env, env.default_params, Down(), *inputs, episodes=1, gamma=1.0, limit=limit)
        assert found.length[:, 0].tolist() == [1, steps]
        assert found.terminated[:, 0].tolist() == [True, False]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "whole")


def train(out, **changes):
    settings = {"steps": 50_000, "evaluations": 2, "eval_episodes": 1, "final_episodes": 1, "gamma": 1.0}
    env = "deep-sea-treasure-concave-v0"
    return morl.train("cmorl", TrainSettings(env=env, out=out, **settings), CONFIG, **changes)


def rows(run):
    with (run.path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_last_stage_finds_what_learners_have_not(run):
    """Two thousand steps of learning find a treasure or two of ten; linear preferences would find two at most."""
    table = rows(run)
    volumes = [float(row["hypervolume"]) for row in table]
    learnt, *varied = [row for row in table if int(row["step"]) >= 1900]
    assert len(varied) == 10
    assert int(learnt["step"]) == 1920
    assert int(varied[-1]["step"]) == 1920 + 48_000
    assert volumes == sorted(volumes)
    assert float(learnt["hypervolume"]) < 0.5 * 4255 < 0.9 * 4255 < volumes[-1]
    assert len(run.front) >= 8
    assert varied[-1]["actor_loss"] == "nan"


def test_a_run_stopped_there_goes_on_to_the_same_front(run, tmp_path):
    out = tmp_path / "run"

    def varying():
        return "variation begins" in (out / "log.txt").read_text()

    assert not train(out, should_stop=varying).finished
    resumed = morl.train(resume=out)
    assert resumed.finished
    assert (out / "front.csv").read_bytes() == (run.path / "front.csv").read_bytes()
    assert [row["step"] for row in rows(resumed)] == [row["step"] for row in rows(run)]


def test_environments_on_the_host_are_refused():
    settings = TrainSettings(env="deep-sea-treasure-v0", backend="host", steps=20_000)
    with pytest.raises(UserError, match="is on the host; the agent's stage of variation is for environments in JAX"):
        prepare("cmorl", settings, CONFIG)
