"""Units of observations and rewards do not matter: trainings on the host learn like their scaled twins."""

import numpy as np
import pytest
import yaml

import morl
from morl.agents.cmorl import CMORLConfig
from morl.errors import UserError
from morl.export import export, jax_format

SIZES = {"num_envs": 4, "rollout_steps": 16, "num_policies": 2, "epochs": 4, "minibatches": 2, "hidden": (8,)}
SMALL = CMORLConfig(**SIZES, learning_rate=0.02, extension="none")


def trained(out, steps=256, should_stop=lambda: False, **kwargs):
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
    return morl.train("cmorl", settings, SMALL, should_stop=should_stop)


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


@pytest.fixture(scope="module", params=[(1e9, "float64"), (2**62, "int64")], ids=lambda given: given[1])
def centred(request, tmp_path_factory):
    """Return a run with an origin, stopped after its first update and resumed, its middle, and observations.

    The origin that is found is the first observation. Another one is put into config.yaml before the run is resumed,
    to see that a resumed run goes on with what it has, and finds none anew.
    """
    (middle, dtype), out = request.param, tmp_path_factory.mktemp("centred") / "run"
    asked = []
    trained(out, 128 * 20, lambda: len(asked) or asked.append(1), middle=middle, dtype=dtype)
    config = (out / "config.yaml").read_text()
    found = yaml.safe_load(config)["run"]["origin"]
    assert [*found] == [0]
    assert abs(found[0] - middle) == 1
    (out / "config.yaml").write_text(config.replace(f"0: {found[0]}", f"0: {middle}"))
    run = morl.train(resume=out)
    assert run.finished
    low, high = (np.array([[middle + sign, 0]], dtype) for sign in (-1, 1))
    return run, middle, (low, high)


def test_what_float32_would_lose_is_seen_by_everything_that_acts(centred):
    """Read the origin from config.yaml: evaluation and playback act as the resumed training did."""
    run, middle, (low, high) = centred
    assert yaml.safe_load((run.path / "config.yaml").read_text())["run"]["origin"] == {0: middle}
    policy = morl.load(run.path).front.at(0)
    assert [policy.observations(x)[0, 0] for x in (low, high)] == [-1, 1]
    assert (int(policy(low)[0]), int(policy(high)[0])) == (0, 1)
    episode = next(morl.play(run.path, policy=0).episodes())
    assert episode.returns[0] == 8
    again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=2))[0]
    assert again.undiscounted[:, 0].max() == 8


def test_programs_for_torch_and_onnx_subtract_the_origin(centred, tmp_path):
    torch = pytest.importorskip("torch")
    run, _, both = centred
    done = export(run.path, tmp_path / "a.pt2", policy=0)
    program = torch.export.load(str(done.path)).module()
    assert [int(program(torch.from_numpy(np.repeat(x, 2, 0)))[0]) for x in both] == [0, 1]
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    done = export(run.path, tmp_path / "a.onnx", policy=0)
    model = ReferenceEvaluator(onnx.load(str(done.path)))
    assert [int(model.run(None, {"observation": x})[0][0]) for x in both] == [0, 1]


def test_a_program_for_jax_subtracts_what_float32_has_of_the_origin_and_says_so(centred, tmp_path):
    pytest.importorskip("flatbuffers")
    run, middle, (low, _) = centred
    done = export(run.path, tmp_path / "a.jax", policy=0)
    assert "JAX takes float32, which part 0 of an observation, near" in done.notes[0]
    call, _ = jax_format.read(done.path)
    step = 2 * int(np.spacing(np.float32(middle)))
    far = np.stack([np.array([middle + sign * step, 0], low.dtype) for sign in (-1, 1)])
    assert call(far.astype(np.float32)).tolist() == run.front.at(0)(far).tolist() == [0, 1]


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
