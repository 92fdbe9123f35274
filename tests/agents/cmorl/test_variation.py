"""Last stage of C-MORL: changed episodes of archived policies, copies that imitate them, and whole runs of it."""

import csv
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.cmorl import variation as module
from morl.agents.cmorl.config import CMORLConfig
from morl.agents.cmorl.imitation import CLOSE, Demonstration, imitate
from morl.agents.cmorl.variation import NEVER, Child, Variation
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.settings import TrainSettings
from morl.training.backends.jax import JaxBackend
from morl.training.setup import prepare
from tests.probes import Probe

CONFIG = CMORLConfig(
    num_policies=2,
    num_envs=4,
    rollout_steps=16,
    epochs=1,
    minibatches=1,
    hidden=(8,),
    extension="none",
    variation_share=0.96,
    variation_children=16,
    variation_episodes=1,
)
ENV = "deep-sea-treasure-concave-v0"


def learner(env):
    config = PPOConfig(num_envs=2, rollout_steps=2, minibatches=1, epochs=1, hidden=(16,))
    size = len(env.objectives)
    return PPO(config, env.observation_space, env.action_space, size, 0.9, 1, action_mask=getattr(env, "mask", None))


def policies(of, number):
    keys = jax.random.split(jax.random.key(0), number)
    return jax.tree.map(lambda *x: np.stack(x), *[of.policy(of.init(key)) for key in keys])


class Fixed(PPO):
    """Learner whose actor is the output itself, whatever is observed."""

    def output(self, policy, obs, preference):
        return jnp.broadcast_to(policy.actor[None], (len(obs), len(policy.actor)))


def fixed(outputs):
    """Return stacked policies of :class:`Fixed` with these outputs (N, A)."""
    env = morl.make(ENV)
    of = Fixed(**learner(env).__dict__)
    return env, of, policies(of, len(outputs))._replace(actor=np.asarray(outputs, np.float32))


UP, DOWN, LEFT, RIGHT = np.eye(4, dtype=np.float32)


def children(held, first, second, **changes):
    number, none = len(first), np.zeros(len(first), np.int32)
    fields = {"switch": none + NEVER, "forced_from": none, "forced_steps": none, "forced": np.tile(UP, (number, 1))}
    chosen = [jax.tree.map(lambda x, rows=rows: np.asarray(x)[rows], held) for rows in (first, second)]
    return Child(*chosen, np.full((number, 2), 0.5, np.float32), **{**fields, **changes})


def recorded(env, of, child, limits, episodes=1):
    trainer = JaxBackend(env, of, np.eye(2), eval_episodes=1, gamma=1.0)
    act = Variation(of, 1, 1, 1, 1).act
    return jax.tree.map(
        np.asarray, trainer.recorder(act, episodes)(child, np.asarray(limits, np.int32), jax.random.key(0))
    )


def test_another_policy_takes_over_or_an_output_is_forced():
    """The submarine of deep-sea-treasure starts in a corner; the treasure of each column is below."""
    env, of, held = fixed([RIGHT, DOWN])
    switch, forced_from, forced_steps = np.array([[NEVER, 2, NEVER], [0, 0, 1], [0, 0, 3]], np.int32)
    child = children(
        held,
        [0, 0, 0],
        [0, 1, 0],
        switch=switch,
        forced_from=forced_from,
        forced_steps=forced_steps,
        forced=np.tile(DOWN, (3, 1)),
    )
    found = recorded(env, of, child, [6, 20, 6])
    right, down = int(RIGHT.argmax()), int(DOWN.argmax())
    assert found.action[0, 0, :6].tolist() == [right] * 6
    assert not found.ended[0, 0]
    assert found.action[1, 0, :5].tolist() == [right, right, down, down, down]
    assert found.action[2, 0, :3].tolist() == [right, down, down]
    assert found.length[:, 0].tolist() == [
        6,
        5,
        3,
    ]  # the third column's treasure is 3 steps below, the second's 2
    assert found.ended[:, 0].tolist() == [False, True, True]
    alone = recorded(env, of, children(held, [1], [1]), [20])
    assert alone.length.tolist() == [[1]]  # the first treasure is one step below
    assert alone.discounted[0, 0, 1] == -1


def test_recorded_episodes_are_those_of_an_evaluation():
    """Returns, lengths and actions do not depend on how many episodes there are, nor on who else acts."""
    env = morl.make("minecart-v0")
    of = learner(env)
    held = policies(of, 3)
    none = np.zeros(3, np.int32)
    outputs = np.zeros((3, of.actions.num_outputs), np.float32)
    child = Child(held, held, np.full((3, 3), 1 / 3, np.float32), none + NEVER, none, none, outputs)
    trainer = JaxBackend(env, of, np.eye(3), eval_episodes=1, gamma=0.9)
    act = Variation(of, 1, 1, 1, 1).act
    limits = np.full(3, 40, np.int32)
    four, two = (trainer.recorder(act, n)(child, limits, jax.random.key(1)) for n in (4, 2))
    for name in ("discounted", "length", "obs", "action"):
        np.testing.assert_array_equal(getattr(four, name)[:, :2], getattr(two, name))
    assert trainer.recorder(act, 1).bytes_each == 7 * 4 * 1000
    for row, episode in ((0, 0), (2, 3)):
        steps = int(four.length[row, episode])
        policy = jax.tree.map(lambda x, row=row: x[row], held)
        acted = of.act(policy, four.obs[row, episode, :steps], child.preference[0], jax.random.key(0), greedy=True)
        np.testing.assert_array_equal(acted, four.action[row, episode, :steps])


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_a_copy_learns_what_is_shown_and_acts_elsewhere_as_before(kind):
    env = morl.make({"discrete": "minecart-v0", "continuous": "building-3d-v0"}[kind])
    of = learner(env)
    policy = jax.tree.map(lambda x: x[0], policies(of, 1))
    policy = policy._replace(actor=jax.tree.map(lambda x: 2 * x, policy.actor))
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(12, *env.observation_space.shape)).astype(np.float32)
    elsewhere = rng.normal(size=(20, *env.observation_space.shape)).astype(np.float32)
    preference = np.full(len(env.objectives), 1 / len(env.objectives), np.float32)
    act = jax.jit(partial(of.act, greedy=True))
    before, key = act(policy, obs, preference, jax.random.key(0)), jax.random.key(0)
    wanted = (before + 1) % of.actions.num_outputs if kind == "discrete" else jnp.clip(before + 0.3, -1, 1)
    weight = np.array([1] * 9 + [0] * 3, np.float32)
    copy = jax.jit(partial(imitate, of))(policy, Demonstration(obs, wanted, weight, elsewhere, preference))
    after = act(copy, obs, preference, key)
    close = np.abs(np.asarray(after - wanted)).reshape(12, -1).max(axis=1) <= CLOSE
    assert close[:9].all()
    if kind == "discrete":  # squared errors of real actions weigh more than what is elsewhere
        far = np.full_like(elsewhere, 1e3)
        careless = jax.jit(partial(imitate, of))(policy, Demonstration(obs, wanted, weight, far, preference))
        before, *outputs = (of.output(each, elsewhere, preference) for each in (policy, copy, careless))
        assert jnp.abs(outputs[0] - before).mean() < 0.9 * jnp.abs(outputs[1] - before).mean()
        before = of.act(policy, obs, preference, key, greedy=True)
    np.testing.assert_array_equal(copy.obs_stats.mean, policy.obs_stats.mean)
    same = jax.jit(partial(imitate, of))(policy, Demonstration(obs, before, weight, elsewhere, preference))
    jax.tree.map(np.testing.assert_array_equal, same, policy)  # nothing to learn


def population(seed=0, **changes):
    """Return the population of a policy that goes down at once, and how it is made."""
    env, of, held = fixed([DOWN])
    trainer = JaxBackend(env, of, np.eye(2), eval_episodes=1, gamma=1.0)
    settings = {"steps": 1, "children": 32, "first_episodes": 1, "episodes": 2}
    how = Variation(of, **{**settings, **changes})
    keys = jax.random.split(jax.random.key(seed), 1)
    (found,) = how.begin(trainer, [(held, np.full((1, 2), 0.5))], keys, 20, 0.0)
    return found


def test_a_population_begins_with_what_it_is_given():
    found = population()
    archive = found.front()
    assert archive.valid.sum() == 1
    assert archive.returns[0].tolist() == [1.0, -1.0]
    assert archive.episodes[0] == 2
    assert len(archive.items) == 2
    assert found.spent == 2  # two episodes of one step


def test_children_are_of_every_kind_and_end_in_time():
    found = population(children=400)
    child, parents, limits = found._children()
    switches, forced = child.switch < NEVER, child.forced_steps > 0
    assert 0.3 < switches.mean() < 0.5
    assert forced[~switches].all()
    assert 0.6 < forced[switches].mean() < 0.8
    assert 0.2 < (child.forced_steps[forced] > 1).mean() < 0.4
    assert set(np.unique(child.forced.argmax(axis=1))) == {0, 1, 2, 3}
    assert (limits == 6).all()  # a quarter more than one step, and four
    assert (parents[0] == 0).all()
    spent = found.spent
    found.advance()
    assert 400 <= found.spent - spent <= 400 * 6 + 200


def test_only_undominated_children_that_end_are_imitated():
    found = population()
    lengths = np.full((5, 1), 3, np.int32)
    returns = np.array([[1, -1], [2, -3], [2, -4], [9, -2], [np.nan, 0]], np.float32)[:, None]
    ended = np.array([True, True, True, False, True])[:, None]
    rows = found._promising(module.Recorded(returns, lengths, ended, None, None))
    assert rows.tolist() == [1]  # the first is the archived one again, the third is dominated by it


def test_few_children_where_observations_are_large(monkeypatch):
    found = population()
    each = found._programs.first.bytes_each
    monkeypatch.setattr(module, "MOST_BYTES", 5 * each)
    assert found._variation.generation(each) == 5
    assert len(found._children()[2]) == 5
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    assert found._variation.generation(each) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "whole")


def train(out, **changes):
    settings = {"steps": 50_000, "evaluations": 2, "eval_episodes": 1, "final_episodes": 1, "gamma": 1.0}
    return morl.train("cmorl", TrainSettings(env=ENV, out=out, **settings), CONFIG, **changes)


def rows(run):
    with (run.path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_last_stage_finds_the_whole_front(run):
    """Two thousand steps of learning find a treasure or two of ten; linear preferences would find two at most."""
    table = rows(run)
    volumes = [float(row["hypervolume"]) for row in table]
    learnt, *varied = [row for row in table if int(row["step"]) >= 1900]
    assert len(varied) == 10
    assert int(learnt["step"]) == 1920
    assert int(varied[-1]["step"]) == 1920 + 48_000
    assert volumes == sorted(volumes)
    assert float(learnt["hypervolume"]) < 0.5 * 4255
    assert np.isclose(volumes[-1], 4255)
    assert len(run.front) == 10
    assert varied[-1]["actor_loss"] == "nan"


@pytest.mark.slow
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


def test_fewer_episodes_than_first_ones_are_refused():
    with pytest.raises(UserError, match="variation_episodes must be at least 3, not 2"):
        CMORLConfig(variation_first_episodes=3, variation_episodes=2)


def test_probe_environments_end_where_they_do():
    """An episode cut off by the time limit is whole; nothing is given up without a limit."""
    env = Probe("choice")
    of = learner(env)
    held = policies(of, 1)
    outputs = np.zeros((1, of.actions.num_outputs), np.float32)
    none = np.zeros(1, np.int32)
    child = Child(held, held, np.full((1, 2), 0.5, np.float32), none + NEVER, none, none, outputs)
    trainer = JaxBackend(env, of, np.eye(2), eval_episodes=1, gamma=0.9)
    found = trainer.recorder(Variation(of, 1, 1, 1, 1).act, 1)(child, none + NEVER, jax.random.key(0))
    assert found.ended.all()
