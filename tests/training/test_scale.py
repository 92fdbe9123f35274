"""Units of observations and rewards do not matter: trainings on the host learn like their scaled twins."""

import numpy as np
import pytest
import yaml

import morl
from morl.agents.cmorl import CMORLConfig
from morl.errors import UserError
from morl.export import export

SIZES = {"num_envs": 4, "rollout_steps": 16, "num_policies": 2, "epochs": 4, "minibatches": 2, "hidden": (8,)}
SMALL = CMORLConfig(**SIZES, learning_rate=0.02, extension="none")


def trained(out, steps=256, **kwargs):
    settings = morl.TrainSettings(
        env="tests.envs.host.signs:morl-test/Signs-v0",
        env_kwargs=kwargs,
        steps=steps,
        reference_point=(-1e30, -1e30),
        evaluations=1,
        eval_episodes=2,
        final_episodes=2,
        out=out,
    )
    return morl.train("cmorl", settings, SMALL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize(
    "other",
    [{"unit": 2.0**-80, "reward_unit": 2.0**-20}, {"unit": 2.0**66, "reward_unit": 2.0**66}],
    ids=["small", "huge"],
)
def test_a_training_in_other_units_keeps_the_same_statistics(plain, other, tmp_path):
    """Normalised by their own statistics, features and returns are what they are in the plain units."""
    run = trained(tmp_path / "run", **other)
    one, two = plain.front.params, run.front.params
    assert all(np.isfinite(run.front.returns).ravel())
    for policy in (one, two):
        spread = np.sqrt(policy.obs_stats.var[..., 0]) * policy.obs_stats.unit[..., 0]
        np.testing.assert_allclose(spread, 1.0 if policy is one else other["unit"], rtol=0.1)


@pytest.mark.parametrize("kwargs", [{"middle": 1e9}, {"middle": 2**62, "dtype": "int64"}], ids=["float64", "int64"])
def test_what_float32_would_lose_is_seen_by_everything_that_acts(kwargs, tmp_path):
    """The origin is in config.yaml, and evaluation, playback and export act as the training did."""
    run = trained(tmp_path / "run", steps=128 * 20, **kwargs)
    origin = yaml.safe_load((run.path / "config.yaml").read_text())["run"]["origin"]
    assert [*origin] == [0]
    assert abs(origin[0] - kwargs["middle"]) == 1
    policy = morl.load(run.path).front.at(0)
    low, high = (np.array([[kwargs["middle"] + sign, 0]], kwargs.get("dtype", "float64")) for sign in (-1, 1))
    assert policy.observations(low)[0, 0] != policy.observations(high)[0, 0]
    assert (int(policy(low)[0]), int(policy(high)[0])) == (0, 1)
    episode = next(morl.play(run.path, policy=0).episodes())
    assert episode.returns[0] == 8
    again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=2))[0]
    assert again.undiscounted[:, 0].max() == 8
    torch = pytest.importorskip("torch")
    done = export(run.path, tmp_path / "a.pt2", policy=0)
    program = torch.export.load(str(done.path)).module()
    got = [int(program(torch.from_numpy(np.repeat(x, 2, 0)))[0]) for x in (low, high)]
    assert got == [0, 1]


def test_a_damaged_origin_is_one_line(plain):
    config = plain.path / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("\nrun:\n", "\nrun:\n  origin: {7: 1.0}\n"))
    try:
        with pytest.raises(UserError, match="is not of numbers of morl-test/Signs-v0's observations"):
            morl.load(plain.path)
    finally:
        config.write_text(text)


def test_rewards_that_float32_cannot_tell_apart_are_noted(tmp_path):
    run = trained(tmp_path / "run", reward_middle=1.7e9)
    log = (run.path / "log.txt").read_text()
    assert log.count("which float32 hardly tells apart: subtract a constant from it in the environment") == 1
