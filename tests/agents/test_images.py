"""Agents that see images: learning, memory, exported programs, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

import morl
from morl.agents.capql import CAPQLConfig
from morl.agents.d3po import D3POConfig
from morl.agents.ppo.config import PPOAgentConfig
from morl.errors import UserError
from morl.export import export
from morl.networks.images import ImageNetwork
from morl.settings import TrainSettings
from morl.training.setup import prepare
from tests.agents.image_probe import SIDE, BrightSquare

ENV = "tests.agents.image_probe:BrightSquare"
CONFIGS = {
    "ppo": PPOAgentConfig(num_policies=2, num_envs=8, rollout_steps=16, minibatches=2, epochs=2, hidden=(8,)),
    "d3po": D3POConfig(num_envs=16, rollout_steps=8, minibatches=2, epochs=4, hidden=(16,), num_preferences=3),
    "capql": CAPQLConfig(
        num_envs=8,
        rollout_steps=4,
        batch_size=32,
        learning_starts=64,
        hidden=(16,),
        replay_capacity=1024,
        num_preferences=3,
        temperature=0.02,
        learn_temperature=False,
        learning_rate=1e-3,
    ),
}


def settings(out, steps):
    return TrainSettings(env=ENV, gamma=0.9, steps=steps, evaluations=1, eval_episodes=1, final_episodes=64, out=out)


def observations(number=8):
    env = BrightSquare()
    return np.stack([env.reset(jax.random.key(i), ())[1] for i in range(number)])


@pytest.fixture(scope="module", params=["d3po", pytest.param("capql", marks=pytest.mark.slow)])
def run(request, tmp_path_factory):
    """Return a run that has seen about a thousand images."""
    agent = request.param
    steps = {"d3po": 2048, "capql": 1024}[agent]
    return morl.train(agent, settings(tmp_path_factory.mktemp("runs") / "run", steps), CONFIGS[agent])


def test_it_is_learnt_where_the_square_is(run):
    """Acting alike everywhere gives half of (1, 2)."""
    assert isinstance(
        run.front.params.actor if run.config["agent"] == "d3po" else run.front.params.actor.body, ImageNetwork
    )
    assert run.front.returns[:, 0].max() > 0.95


@pytest.mark.parametrize("format", ["torch", "jax", pytest.param("onnx", marks=pytest.mark.slow)])
def test_exported_programs_see_the_same(run, format, tmp_path):
    for module in {"torch": ["torch"], "jax": ["flatbuffers"], "onnx": ["onnx", "onnxscript"]}[format]:
        pytest.importorskip(module)
    suffix = {"torch": ".pt2", "jax": ".jax", "onnx": ".onnx"}[format]
    done = export(run.path, tmp_path / f"all{suffix}")
    obs, weights = observations(), np.random.default_rng(0).dirichlet(np.ones(2), 8).astype(np.float32)
    wanted = run.front.at(0)(obs, weights)
    assert len(np.unique(wanted)) == 2
    if format == "torch":
        import torch

        program = torch.export.load(str(done.path)).module()
        got = program(torch.from_numpy(obs), torch.from_numpy(weights)).numpy()
    elif format == "jax":
        from morl.export import jax_format

        got = np.asarray(jax_format.read(done.path)[0](obs, weights))
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        inputs = {"observation": obs, "preference": weights}
        (got,) = ReferenceEvaluator(onnx.load(str(done.path))).run(None, inputs)
    np.testing.assert_array_equal(got, wanted)


def test_policies_side_by_side_see_images_too(tmp_path):
    run = morl.train("ppo", settings(tmp_path / "run", 512), CONFIGS["ppo"])
    assert np.isfinite(run.front.returns).all()


@pytest.mark.parametrize(
    "critics",
    [
        {"critic_network": "batch_norm", "target_networks": False},
        pytest.param({"gpi_preferences": 3}, marks=pytest.mark.slow),
    ],
)
def test_critics_of_other_kinds_see_images_too(critics, tmp_path):
    run = morl.train("capql", settings(tmp_path / "run", 128), dataclasses.replace(CONFIGS["capql"], **critics))
    assert np.isfinite(run.front.returns).all()


@pytest.mark.parametrize("agent", ["ppo", "d3po", "capql"])
def test_the_estimate_of_memory_knows_of_convolutions(agent):
    """They take more than the flat image, which takes a feature for each pixel."""

    def update_bytes(encoder):
        config = dataclasses.replace(CONFIGS[agent], encoder=encoder)
        return prepare(agent, settings(None, 4096), config).agent.update_bytes

    assert update_bytes("auto") == update_bytes("nature") > 2 * update_bytes("flat") > 2 * SIDE**2


def test_an_image_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(UserError, match="encoder nature needs images"):
        prepare("capql", TrainSettings(env="minecart-v0"), CAPQLConfig(encoder="nature"))
    with pytest.raises(UserError, match="encoder nature needs images"):
        prepare("d3po", TrainSettings(env="minecart-v0"), D3POConfig(encoder="nature"))
    with pytest.raises(UserError, match="unknown encoder 'naturee'; did you mean nature"):
        D3POConfig(encoder="naturee")
