"""GPI-LS through the whole library: a front, its plan of preferences, both back-ends, resumption and export."""

import numpy as np
import pytest

import morl
from morl import TrainSettings
from morl.agents.gpi_ls import GPILSConfig
from morl.export import export
from morl.training.setup import prepare
from tests.training.test_loop import metric_rows

TINY = {
    "num_envs": 4,
    "rollout_steps": 16,
    "gradient_steps": 2,
    "batch_size": 16,
    "replay_capacity": 640,
    "learning_starts": 64,
    "hidden": (8, 8),
    "num_preferences": 5,
    "max_support": 6,
    "rotation_steps": 64,
}

LEARNING = {
    "gradient_steps": 32,
    "batch_size": 32,
    "hidden": (32, 32),
    "learning_rate": 3e-3,
    "exploration_steps": 6000,
}


def settings(out, env="deep-sea-treasure-v0", **changes):
    fast = {"steps": 512, "evaluations": 4, "eval_episodes": 1, "final_episodes": 1}
    return TrainSettings(env=env, out=out, **{**fast, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of two seeds."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return morl.train("gpi-ls", settings(out, num_seeds=2), GPILSConfig(**TINY))


def test_the_bound_on_what_is_left_is_reported(run):
    rows = metric_rows(run.path)
    gaps = np.array([float(row["gap_bound"]) for row in rows])
    assert len(gaps) == 8
    assert np.isfinite(gaps).all()
    assert (gaps >= 0).all()
    assert float(rows[0]["support"]) == 3  # the corners of the simplex, and its centre


@pytest.mark.slow
def test_seeds_side_by_side_are_seeds_alone(run, tmp_path):
    alone = morl.train("gpi-ls", settings(tmp_path / "alone", seed=1), GPILSConfig(**TINY))
    np.testing.assert_allclose(alone.front.returns, run.fronts[1].returns, rtol=1e-4)


@pytest.fixture(scope="module")
def treasure(tmp_path_factory):
    """Return a run that has learnt most of deep-sea-treasure's front."""
    out = tmp_path_factory.mktemp("runs") / "treasure"
    known = {"steps": 16_000, "evaluations": 10, "gamma": 1.0, "reference_point": (0.0, -25.0)}
    config = {**TINY, **LEARNING, "replay_capacity": 16_000, "max_support": 12, "num_preferences": 101}
    return morl.train("gpi-ls", settings(out, **known), GPILSConfig(**config))


def test_it_learns_most_of_the_front(treasure):
    """An untrained policy stays below 20 of 401.8; one treasure alone is worth 182 at most."""
    assert treasure.front.hypervolume() > 300
    assert len(treasure.front) >= 4


def test_the_environments_act_for_what_was_planned(treasure):
    """The policy's support has the corner weights of the values that it has reached, between those of the simplex."""
    support = treasure.front.params.support
    members = np.asarray(support.preference)[np.asarray(support.used) > 0]
    inside = members[(members.max(axis=1) < 0.999) & (np.abs(members - 0.5).max(axis=1) > 0.001)]
    assert len(inside) > 3
    np.testing.assert_allclose(members.sum(axis=1), 1, rtol=1e-5)
    gaps = [float(row["gap_bound"]) for row in metric_rows(treasure.path)]
    assert max(gaps) > 0.05
    assert gaps[-1] < 0.05


@pytest.mark.slow
def test_a_stopped_training_goes_on_bit_for_bit_with_its_plan(tmp_path):
    """Stop between two evaluations: what is planned is a part of the checkpoint."""

    def train(out, after=None):
        looks = []

        def stop():
            looks.append(None)
            return len(looks) == after

        changes = {"steps": 3200, "checkpoint_minutes": 0.0, "gamma": 1.0, "reference_point": (0.0, -25.0)}
        config = GPILSConfig(**{**TINY, "gradient_steps": 8, "exploration_steps": 500})
        return morl.train("gpi-ls", settings(out, **changes), config, should_stop=stop)

    whole = train(tmp_path / "whole")
    path = train(tmp_path / "run", after=20).path
    resumed = morl.train(resume=path)
    assert metric_rows(resumed.path) == metric_rows(whole.path)
    assert (resumed.path / "front.csv").read_text() == (whole.path / "front.csv").read_text()


@pytest.mark.parametrize(
    "env", ["deep-sea-treasure-v0", pytest.param("mo-mountaincarcontinuous-v0", marks=pytest.mark.slow)]
)
def test_on_the_host(env, tmp_path):
    run = morl.train("gpi-ls", settings(tmp_path / "run", env, backend="host", steps=256), GPILSConfig(**TINY))
    assert np.isfinite(run.front.returns).all()
    assert run.config["backend"] == "host"


@pytest.mark.parametrize(
    "format", [pytest.param("torch", marks=pytest.mark.slow), "jax", pytest.param("onnx", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "env", ["deep-sea-treasure-v0", pytest.param("mo-mountaincarcontinuous-v0", marks=pytest.mark.slow)]
)
def test_one_program_for_any_preference(env, format, tmp_path):
    """The exported program improves over M as the policy does."""
    for module in {"torch": ["torch"], "jax": ["flatbuffers"], "onnx": ["onnx", "onnxscript"]}[format]:
        pytest.importorskip(module)
    run = morl.train("gpi-ls", settings(tmp_path / "run", env, steps=128, evaluations=1), GPILSConfig(**TINY))
    done = export(run.path, tmp_path / f"all{ {'torch': '.pt2', 'jax': '.jax', 'onnx': '.onnx'}[format] }")
    assert done.policy is None
    assert done.difference <= (1e-5 if env.startswith("mo-") else 0.01)


@pytest.mark.parametrize("preset", ["paper", "benchmark"])
@pytest.mark.parametrize("env", ["minecart-v0", "mo-hopper-2obj-v5"])
def test_presets_are_settings(preset, env, tmp_path):
    from morl.registry import agent_spec

    found = agent_spec("gpi-ls").protocol(preset, env)
    own = {name: value for name, value in found.items() if name in vars(GPILSConfig())}
    rest = {name: value for name, value in found.items() if name not in own}
    agent = prepare("gpi-ls", TrainSettings(env=env, **rest), GPILSConfig(**own)).agent
    assert agent.updates > 1
    with pytest.raises(
        morl.errors.UserError, match=f"the preset {preset} of gpi-ls has no settings for 'four-room-v0'"
    ):
        agent_spec("gpi-ls").protocol(preset, "four-room-v0")
