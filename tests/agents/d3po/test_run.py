"""D3PO through the whole library: seeds side by side, both back-ends, one exported program for any preference."""

import numpy as np
import pytest

import morl
from morl import TrainSettings
from morl.agents.d3po import D3POConfig
from morl.export import export
from morl.training.setup import prepare

TINY = {"num_envs": 4, "rollout_steps": 16, "epochs": 1, "minibatches": 2, "hidden": (8,), "num_preferences": 5}
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(2), 20).astype(np.float32)


def settings(out, env="mo-mountaincarcontinuous-v0", **changes):
    fast = {"steps": 256, "evaluations": 1, "eval_episodes": 1, "final_episodes": 1}
    return TrainSettings(env=env, out=out, **{**fast, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of two seeds, with continuous actions and a hypernetwork."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return morl.train("d3po", settings(out, num_seeds=2), D3POConfig(**TINY, conditioning="hypernetwork"))


def observations(run, number=20):
    space = morl.make(run.config["env"]).observation_space
    space.seed(0)
    return np.stack([space.sample() for _ in range(number)])


def test_a_preference_of_each_row_or_one_for_all(run):
    policy, obs = run.front.at(0), observations(run)
    each = policy(obs, WEIGHTS)
    assert each.shape == (20, 1)
    assert len(np.unique(each)) > 10
    for i in range(3):
        np.testing.assert_allclose(policy(obs[i], WEIGHTS[i] / WEIGHTS[i].sum(dtype=float)), each[i], rtol=1e-5)
    own = run.front.policy([0.5, 0.5])  # acts for the preference of its row
    np.testing.assert_allclose(own(obs), policy(obs, own.preference), rtol=1e-6)


@pytest.mark.slow
def test_seeds_side_by_side_are_seeds_alone(run, tmp_path):
    assert set(run.fronts) == {0, 1}
    config = D3POConfig(**TINY, conditioning="hypernetwork")
    alone = morl.train("d3po", settings(tmp_path / "alone", seed=1), config)
    np.testing.assert_allclose(alone.front.returns, run.fronts[1].returns, rtol=1e-4)


@pytest.mark.parametrize("format", ["torch", "jax", pytest.param("onnx", marks=pytest.mark.slow)])
def test_one_program_for_any_preference(run, format, tmp_path):
    """The exported program of observation and preference acts as the policy does for each of them."""
    for module in {"torch": ["torch"], "jax": ["flatbuffers"], "onnx": ["onnx", "onnxscript"]}[format]:
        pytest.importorskip(module)
    suffix = {"torch": ".pt2", "jax": ".jax", "onnx": ".onnx"}[format]
    done = export(run.path, tmp_path / f"all{suffix}")
    assert done.policy is None
    obs = observations(run)
    wanted = run.front.at(0)(obs, WEIGHTS)
    if format == "torch":
        import torch

        program = torch.export.load(str(done.path)).module()
        got = program(torch.from_numpy(obs), torch.from_numpy(WEIGHTS)).numpy()
    elif format == "jax":
        from morl.export import jax_format

        got = np.asarray(jax_format.read(done.path)[0](obs, WEIGHTS))
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        inputs = {"observation": obs, "preference": WEIGHTS}
        (got,) = ReferenceEvaluator(onnx.load(str(done.path))).run(None, inputs)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_on_the_host(tmp_path):
    """The same learner steps a Gymnasium environment, whose episodes draw preferences too."""
    config = D3POConfig(**TINY, preference_concentration=(2.0, 1.0))
    run = morl.train("d3po", settings(tmp_path / "run", "deep-sea-treasure-v0", backend="host"), config)
    assert np.isfinite(run.front.returns).all()
    assert run.config["backend"] == "host"


def test_a_preset_has_settings_for_an_environment(tmp_path):
    from morl.registry import agent_spec

    found = agent_spec("d3po").protocol("benchmark", "minecart-v0")
    own = {name: value for name, value in found.items() if name in vars(D3POConfig())}
    rest = {name: value for name, value in found.items() if name not in own}
    agent = prepare("d3po", TrainSettings(env="minecart-v0", **rest), D3POConfig(**own)).agent
    assert agent.updates > 1
    with pytest.raises(morl.errors.UserError, match="the preset benchmark of d3po has no settings for 'four-room-v0'"):
        agent_spec("d3po").protocol("benchmark", "four-room-v0")
