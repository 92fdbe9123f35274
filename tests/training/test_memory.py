"""Memory of a training: known from shapes, close to what programs take, and refused before anything is written."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.capql.algorithm import CAPQL
from morl.agents.capql.config import CAPQLConfig
from morl.agents.cmorl import CMORLConfig
from morl.agents.d3po import D3POAgent, D3POConfig
from morl.agents.gmorl import GMORLConfig
from morl.agents.gpi_ls.agent import GPILSAgent
from morl.agents.gpi_ls.config import GPILSConfig
from morl.agents.ppo.agent import PPOAgent
from morl.agents.ppo.config import PPOAgentConfig
from morl.cli import main
from morl.errors import UserError
from morl.ops import replay
from morl.registry import agent_specs, load
from morl.settings import TrainSettings
from morl.training import memory
from morl.training.nonfinite import guarded_update, no_nonfinite
from morl.training.setup import prepare
from morl.types import Task, Transition

ENVS = {"mogfn": "hypergrid-v0", "mogfn-al": "ngrams-v0"}


def setup_of(agent, config=None, **settings):
    spec = agent_specs()[agent]
    settings = load(spec.settings)(env=ENVS.get(agent, "deep-sea-treasure-v0"), **settings)
    return prepare(agent, settings, config), settings


@pytest.mark.parametrize("agent", agent_specs(plug_ins=False))
def test_a_learner_made_of_shapes_has_those_of_a_real_one(agent):
    learner = setup_of(agent)[0].agent.learner
    shapes, real = jax.eval_shape(learner.init, jax.random.key(0)), learner.init(jax.random.key(0))
    assert jax.tree.structure(shapes) == jax.tree.structure(real)
    assert [x.shape for x in jax.tree.leaves(shapes)] == [np.shape(x) for x in jax.tree.leaves(real)]


def test_the_archive_and_the_networks_by_hand():
    config = CMORLConfig(num_policies=3, hidden=(1000,), extension="none")
    setup, settings = setup_of("cmorl", config, archive_capacity=50, num_seeds=2, steps=10**6)
    features, actions = setup.env.observation_space.high[0] + 1 + setup.env.observation_space.high[1] + 1, 4
    layers = [features * 1000 + 1000 + 1000 * outputs + outputs for outputs in (actions, 2)]
    parts = {part.name: part.size for part in memory.estimate(setup, settings)}
    assert parts["archive"] == pytest.approx(3 * 2 * 50 * 4 * sum(layers), rel=0.02)
    assert parts["networks and optimisers"] == pytest.approx(3 * 6 * 3 * 4 * sum(layers), rel=0.02)
    assert parts["replay"] == 0


def bytes_taken(agent):
    """Return the bytes that XLA gives the update of an agent's learner, without those of the learner itself."""
    learner = agent.learner
    space, shape = learner.observation_space, jax.ShapeDtypeStruct
    state = jax.eval_shape(lambda key: jax.tree.map(lambda x: x[None], learner.init(key)), jax.random.key(0))
    row = (learner.rollout_steps, 1, learner.num_envs)
    flags, vector, obs = shape(row, bool), shape((*row, 2), jnp.float32), shape((*row, *space.shape), space.dtype)
    batch = Transition(obs, shape(row, jnp.int32), vector, obs, flags, flags, flags, vector)
    update = jax.jit(
        jax.vmap(partial(guarded_update, learner, skip=False), in_axes=(0, 1, 0, 0, None)), donate_argnums=0
    )
    nonfinite = jax.eval_shape(lambda: no_nonfinite(1))
    key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    compiled = update.lower(state, batch, key, nonfinite, shape((), jnp.int32)).compile()
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    return compiled.memory_analysis().temp_size_in_bytes - 1.5 * size


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_bytes_of_an_update_are_those_of_the_compiled_one(dtype):
    """Ask XLA for the memory of PPO's update on pictures, which dominate it."""
    space = spaces.Box(0, 255, (48, 48, 3), dtype)
    config = PPOAgentConfig(num_envs=8, rollout_steps=16, hidden=(8,), minibatches=4, num_policies=2)
    agent = PPOAgent(config, Task(space, spaces.Discrete(3), 2, 0.9, 10**6))
    assert 1 / 1.5 < agent.update_bytes / bytes_taken(agent) < 1.5


def test_the_bytes_of_a_hypernetwork_are_those_of_the_compiled_one():
    config = D3POConfig(
        num_envs=64, rollout_steps=32, hidden=(64,), minibatches=4, conditioning="hypernetwork", embedding_size=32
    )
    agent = D3POAgent(config, Task(spaces.Box(-1, 1, (10,), np.float32), spaces.Discrete(3), 2, 0.9, 10**6))
    assert 1 / 1.5 < agent.update_bytes / bytes_taken(agent) < 1.5


SMALL = Task(spaces.Box(-1, 1, (10,), np.float32), spaces.Discrete(200), 2, 0.9, 10**6)
ROLLOUT = {"num_envs": 4, "rollout_steps": 8, "learning_starts": 64, "hidden": (64,)}


@pytest.mark.parametrize(
    "agent",
    [
        CAPQL(CAPQLConfig(**ROLLOUT, update_ratio=0.125, batch_size=2048, replay_capacity=4096), SMALL),
        GPILSAgent(GPILSConfig(**ROLLOUT, gradient_steps=2, batch_size=2048, replay_capacity=4096), SMALL),
    ],
)
def test_the_bytes_of_an_update_over_many_actions_are_those_of_the_compiled_one(agent):
    """Values of 200 actions dominate them."""
    assert 1 / 1.5 < agent.update_bytes / bytes_taken(agent) < 1.5


def test_the_bytes_of_an_update_of_networks_of_each_actions_features_are_those_of_the_compiled_one():
    """Hidden layers for each of 11 servers dominate them."""
    config = GMORLConfig(
        num_envs=4,
        rollout_steps=8,
        gradient_steps=1,
        batch_size=512,
        learning_starts=64,
        replay_capacity=1024,
        hidden=(128,),
    )
    agent = prepare("gmorl", TrainSettings(env="mec-offloading-v0"), config).agent
    assert agent.learner.networks.by_action
    assert 1 / 1.5 < agent.update_bytes / bytes_taken(agent) < 1.5


def test_the_bytes_of_acting_are_those_of_the_compiled_function():
    """Ask XLA for the memory of GPI-LS's actions, which compare the policies of all its preferences."""
    setup, _ = setup_of("gpi-ls")
    learner, shape = setup.agent.learner, jax.ShapeDtypeStruct
    policy = jax.eval_shape(lambda key: learner.policy(learner.init(key)), jax.random.key(0))
    obs = shape((500, *learner.observation_space.shape), learner.observation_space.dtype)
    act = jax.jit(partial(learner.act, greedy=True))
    compiled = act.lower(policy, obs, shape((2,), jnp.float32), jax.random.key(0)).compile()
    taken = compiled.memory_analysis().temp_size_in_bytes
    assert 1 / 1.5 < memory._acting_bytes(setup, 500, greedy=True) / taken < 1.5


def test_the_bytes_of_a_variation_by_hand():
    config = CMORLConfig(variation_share=0.5, variation_children=10, variation_first_episodes=2, variation_episodes=5)
    variation = setup_of("cmorl", config)[0].agent.variation
    archives = 3 * 2 * 50 * (10**6 + 4 * 2 * 6)  # a policy, its preference and five returns
    assert variation.size(10**6, 8000, 50, 2) == archives + 4 * 10 * 10**6 + 3 * (10 * 2 + 4 * 5) * 8000
    assert variation.generation(2**26) == 2  # four episodes of that size, two a child
    assert variation.generation(2**40) == 1


@pytest.mark.parametrize(
    ("command", "largest"),
    [
        ("cmorl --archive-capacity 100000", "archive .* GB, by archive_capacity or hidden$"),
        (
            "cmorl --hidden 1000000 1000000",
            "by archive_capacity or hidden; networks and optimisers .* TB, by hidden",
        ),
        ("cmorl --num-seeds 100000", "by archive_capacity or hidden or num_seeds; "),
        (
            "ppo --num-envs 65536 --steps 1000000000",
            "updates .* GB, by num_envs or rollout_steps or hidden",
        ),
        (
            "d3po --num-envs 65536 --steps 1000000000 --conditioning hypernetwork",
            "updates .* GB, by num_envs or rollout_steps or hidden or embedding_size",
        ),
        ("gmorl --replay-capacity 960000000", "replay .* GB, by replay_capacity$"),
        ("gpi-ls --replay-capacity 1280000000", "replay .* GB, by replay_capacity$"),
        ("gpi-ls --batch-size 10000000", "updates .* GB, by batch_size or num_envs"),
        ("dsac --batch-size 10000000", "updates .* GB, by batch_size or num_envs"),
        ("dsac --final-episodes 2000000000", "evaluations .* TB, by eval_episodes or final_episodes or num_policies$"),
        ("capql --num-preferences 1000000000", "by eval_episodes or final_episodes or num_preferences$"),
        (
            "gpi-ls --eval-episodes 1000000",
            "evaluations .* GB, by eval_episodes or .* or num_preferences or max_support$",
        ),
        ("gpi-ls --max-support 100000000", "evaluations .* TB, by eval_episodes or .* or max_support$"),
        ("capql --hidden 1000000 1000000", "networks and optimisers .* TB, by hidden$"),
        ("cmorl --variation-share 0.2 --variation-episodes 100000000", "variation .* TB, by variation_children or var"),
        ("mogfn --batch 10000000 --steps 100000000", "updates .* TB, by batch or replay_batch or hidden"),
        ("mogfn --batch 64 --hidden 300000 300000", "networks and optimisers .* TB, by hidden"),
        ("mogfn-al --rounds 1000000000", "updates .* TB, by rounds or round_size or initial"),
    ],
)
def test_too_much_is_one_line_that_names_the_setting(command, largest, tmp_path, monkeypatch, capsys):
    """Give it 2 GB free; nothing is allocated or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "free_memory", lambda device: 2 * 10**9)
    agent, *flags = command.split()
    assert main(["train", agent, "--env", ENVS.get(agent, "minecart-v0"), *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("morl train: error: the training needs about ")
    assert " of memory, and 1.6 GB may be used, 80% of what is free; lower the largest: " in said
    assert re.search(largest, said.strip())
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_python_says_the_same_and_enough_is_no_matter(tmp_path, monkeypatch):
    setup, settings = setup_of("cmorl")
    needed = sum(part.size for part in memory.estimate(setup, settings))
    for free, fits in ((needed / 0.81, False), (needed / 0.79, True), (None, True)):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        if fits:
            memory.fitting(setup, settings, jax.devices())
        else:
            with pytest.raises(UserError, match=r"the training needs about .* MB of memory"):
                memory.fitting(setup, settings, jax.devices())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["gmorl", "--steps", "1_000_000_000_000_000_000_000"],
            "steps must be at least 1 and at most 90071992",
        ),
        (["gmorl", "--steps", "9000000000000000"], "updates of a policy, and at most 2,147,483,647 can be counted"),
        (["ppo", "--num-envs", "9" * 30], "--num-envs must be at least 1 and at most 2147483647, not 9999"),
        (["ppo", "--eval-episodes", "9" * 300], "not a number of about 300 digits"),
        (["ppo", "--hidden", "9" * 30], "hidden must be widths of at most 2147483647"),
        (["ppo", "--learning-rate", "1e300"], "--learning-rate must be greater than 0 and at most 3.4e+38, not 1e+300"),
        (["ppo", "--env-kwargs", "map", "9" * 30], "map must be a whole number of at most 64 bits"),
        (
            ["ppo", "--num-policies", "2000000", "--steps", "1" + 12 * "0"],
            "from 1 to 1,000,000",
        ),
    ],
)
def test_numbers_that_are_too_large_are_one_line(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", flags[0], "--env", "deep-sea-treasure-v0", *flags[1:]]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_numbers_from_python_and_yaml_need_not_fit_a_float():
    for fields in ({"steps": 10**400}, {"checkpoint_minutes": 10**400}, {"env_kwargs": {"depth": -(10**40)}}):
        with pytest.raises(UserError, match=r"not a number of about|not -1000"):
            TrainSettings(**fields)
    with pytest.raises(UserError, match="each of reference_point must be a number that a float holds, not a number of"):
        setup_of("ppo", reference_point=(10**400, 0))


def test_a_schedule_longer_than_a_count_still_anneals():
    setup, _ = setup_of("gmorl", steps=10**12)
    state = setup.agent.learner._optimiser.init(jnp.zeros(3))
    assert jax.tree.leaves(state)


def test_the_least_limit_counts(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("limit", "usage", "stat")]
    for file, text in zip(files, ("3000", "1500", "anon 5\ninactive_file 500\n"), strict=True):
        file.write_text(text)
    nothing = tmp_path / "no-limit"
    nothing.write_text("max\n")
    monkeypatch.setattr(memory, "_control_groups", lambda: iter([(nothing, *files[1:]), tuple(files)]))
    monkeypatch.setattr(memory, "_of_process", lambda: None)
    assert memory.free_memory(jax.devices("cpu")[0]) == 2000
    monkeypatch.setattr(memory, "_of_process", lambda: 1000)
    assert memory.free_memory(jax.devices("cpu")[0]) == 1000
    monkeypatch.undo()
    assert 10**7 < memory.free_memory(jax.devices("cpu")[0]) < 10**14


def test_an_accelerator_is_asked_for_its_own():
    class Accelerator:
        platform = "gpu"
        memory_stats = staticmethod(lambda: {"bytes_limit": 100, "bytes_in_use": 30})

    assert memory.free_memory(Accelerator()) == 70
    Accelerator.memory_stats = staticmethod(lambda: None)
    assert memory.free_memory(Accelerator()) is None


def test_exhausted_memory_is_one_line_too(monkeypatch, capsys):
    with pytest.raises(UserError, match=r"^out of memory \(of the host\); lower num_envs"), memory.exhaustion():
        raise MemoryError
    with pytest.raises(UserError, match="out of memory on the device"), memory.exhaustion():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 12 GB\nmore")
    with pytest.raises(jax.errors.JaxRuntimeError), memory.exhaustion():
        raise jax.errors.JaxRuntimeError("INTERNAL")
    monkeypatch.setattr("morl.environments.find", lambda *_: (_ for _ in ()).throw(MemoryError("7 TB")))
    assert main(["train", "ppo", "--env", "minecart-v0"]) == 2
    assert "error: out of memory (7 TB); lower num_envs" in capsys.readouterr().err


def test_a_replay_of_any_size_has_shapes():
    row = jax.ShapeDtypeStruct((10**6,), jnp.float32)
    assert jax.eval_shape(lambda: replay.empty(10**9, row)).rows.shape == (10**9, 10**6)
