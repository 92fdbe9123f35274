"""The loop as a whole: it learns, repeats itself exactly, keeps seeds apart and leaves a complete run directory."""

import csv
import dataclasses

import jax
import numpy as np
import pytest
import yaml

import morl
from morl import registry
from morl.agents.cmorl import CMORLConfig
from morl.envs.classic.four_room import FourRoom
from morl.errors import UserError
from morl.ops import metrics
from morl.registry import agent_spec, load
from morl.runs.directory import read_fronts
from morl.settings import TrainSettings
from morl.training.backends.jax import JaxBackend
from morl.training.setup import prepare
from tests.tiny import SPEC, TinyConfig

SMALL = CMORLConfig(num_policies=4, num_envs=8, rollout_steps=16, hidden=(16,))


@pytest.fixture
def tiny(monkeypatch):
    """Register an agent that compiles fast, for what does not depend on the agent."""
    monkeypatch.setitem(registry._AGENTS, "tiny", SPEC)


def small(out, config=SMALL, agent="cmorl", **changes):
    settings = {
        "env": "deep-sea-treasure-v0",
        "steps": 20_000,
        "evaluations": 3,
        "eval_episodes": 2,
        "final_episodes": 2,
        "out": out,
        **changes,
    }
    return morl.train(agent, TrainSettings(**settings), config)


def metric_rows(path):
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    timed = ("seconds", "steps_per_second")
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


def test_it_finds_the_front_of_deep_sea_treasure(dst_run):
    """An untrained agent has 0 here: it stays out for a hundred steps and never beats the reference point."""
    true = metrics.hypervolume(morl.make("deep-sea-treasure-v0").true_front(1.0), (0, -25))
    assert true == pytest.approx(401.8)
    for front in dst_run.fronts.values():
        assert front.hypervolume() > 0.97 * true
        assert front.hypervolume() <= true + 1e-4  # float32 rewards


def test_every_point_found_lies_on_the_true_front_or_below(dst_run):
    true = morl.make("deep-sea-treasure-v0").true_front(1.0)
    for point in dst_run.front.returns:
        assert (true >= point - 1e-5).all(axis=1).any()


def test_a_run_directory_is_complete(dst_run):
    path = dst_run.path
    names = {entry.name.partition("tfevents")[0] for entry in path.iterdir()}
    assert names == {"config.yaml", "metrics.csv", "front.csv", "front.png", "log.txt", "checkpoints", "events.out."}
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert config["seed"] == 5
    assert config["reference_point"] == [0.0, -25.0]
    assert config["gamma"] == 1.0
    assert config["run"]["versions"]["jax"]
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["5", "6"] * 8
    assert float(rows[-1]["hypervolume_share"]) == pytest.approx(float(rows[-1]["hypervolume"]) / 401.8, rel=1e-6)
    for name in ("treasure", "time"):
        low, mean, high = (float(rows[-1][f"return/{name}/{kind}"]) for kind in ("min", "mean", "max"))
        assert low < mean < high
    assert float(rows[-1]["return/treasure/max"]) <= 23.7 + 1e-5
    assert (path / "front.png").read_bytes().startswith(b"\x89PNG")
    log = (path / "log.txt").read_text()
    assert "by training estimates" in log
    assert "re-evaluated" in log


def test_tensorboard_has_every_metric_and_the_picture(dst_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(dst_run.path)).Reload()
    rows = metric_rows(dst_run.path)
    tags = events.Tags()
    assert {f"seed_{seed}/{name}" for seed in (5, 6) for name in rows[0] if name not in ("step", "seed")} <= set(
        tags["scalars"]
    )
    scalars = events.Scalars("seed_6/hypervolume")
    assert [(e.step, e.value) for e in scalars] == [
        (int(row["step"]), pytest.approx(float(row["hypervolume"]), rel=1e-6)) for row in rows if row["seed"] == "6"
    ]
    assert tags["images"] == ["front"]
    assert tags["tensors"] == ["config/text_summary"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return small(tmp_path_factory.mktemp("alone") / "run", seed=4, steps=2048)


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    return small(tmp_path_factory.mktemp("beside") / "run", seed=3, num_seeds=2, steps=2048)


def numbers(run, seed):
    """Return the rows of one seed, without the seed itself."""
    rows = [row for row in metric_rows(run.path) if row["seed"] == seed]
    return [{name: float(value) for name, value in row.items() if name != "seed"} for row in rows]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(alone, beside, tmp_path):
    again = small(tmp_path / "again", seed=4, steps=2048)
    assert metric_rows(alone.path) == metric_rows(again.path)
    assert (alone.path / "front.csv").read_text() == (again.path / "front.csv").read_text()
    assert numbers(alone, "4")[0] != pytest.approx(numbers(beside, "3")[0], rel=1e-2, abs=1e-2, nan_ok=True)


def test_a_seed_learns_the_same_alone_or_beside_others(alone, beside):
    for one, two in zip(numbers(alone, "4"), numbers(beside, "4"), strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4, nan_ok=True)


def test_the_front_is_non_dominated_and_reproduced_by_its_policies(dst_run):
    """Each row's return, stepped by hand through the environment with the policy loaded from disk."""
    loaded = morl.load(dst_run.path)
    env = morl.make("deep-sea-treasure-v0")
    key = jax.random.key(0)
    for preference in ([1.0, 0.0], [0.5, 0.5], [0.0, 1.0]):
        policy = loaded.front.policy(preference)
        state, obs = env.reset(key, env.default_params)
        total, ended = np.zeros(2), False
        for _ in range(100):
            state, obs, reward, terminated, *_ = env.step(key, state, policy(np.asarray(obs)), env.default_params)
            total += np.asarray(reward)
            ended = bool(terminated)
            if ended:
                break
        np.testing.assert_allclose(total, policy.returns, atol=1e-4)
        assert ended
        best = max(np.dot(preference, point) for point in loaded.front.returns)
        assert np.dot(preference, policy.returns) == pytest.approx(best)


def test_loading_gives_back_what_was_written(beside):
    loaded = morl.load(beside.path)
    assert list(loaded.fronts) == [3, 4]
    for seed, front in beside.fronts.items():
        for field in ("returns", "stderr", "undiscounted", "undiscounted_stderr", "length", "preferences"):
            np.testing.assert_array_equal(getattr(loaded.fronts[seed], field), getattr(front, field))
        assert (loaded.fronts[seed].gamma, loaded.fronts[seed].episodes) == (front.gamma, front.episodes)


def test_evaluating_again_gives_the_same_front_where_nothing_is_random(dst_run):
    again = morl.evaluate(dst_run.path, morl.EvaluateSettings(episodes=3, seed=9))
    for seed, front in dst_run.fronts.items():
        np.testing.assert_allclose(again[seed].returns, front.returns, atol=1e-4)
        assert again[seed].episodes == 3
    half = morl.evaluate(dst_run.path, morl.EvaluateSettings(episodes=1, gamma=0.5))[5]
    assert half.gamma == 0.5
    assert half.returns[:, 1].min() > -2.0  # sum of 0.5^t
    assert np.isnan(half.stderr).all()  # one episode has none


def test_stopping_early_still_leaves_a_front(tmp_path):
    asked = []

    def stop():
        asked.append(None)
        return len(asked) >= 3

    settings = TrainSettings(
        env="deep-sea-treasure-v0", steps=400_000, evaluations=20, eval_episodes=2, final_episodes=2, out=tmp_path / "r"
    )
    run = morl.train("cmorl", settings, SMALL, should_stop=stop)
    rows = metric_rows(run.path)
    assert len(asked) == 3
    assert int(rows[-1]["step"]) < 400_000
    assert len(read_fronts(run.path / "front.csv", ("treasure", "time"))[0]["returns"]) == len(run.front) > 0
    assert morl.load(run.path).front.returns.shape == run.front.returns.shape


@pytest.mark.slow
@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "host"])
def test_rounds_of_extension_follow_the_first_stage(backend, tmp_path):
    """10 updates of 512 steps: 6, then two rounds of 2, each evaluated; on either back-end."""
    config = dataclasses.replace(SMALL, extension_updates=2)
    run = small(tmp_path / "run", config, backend=backend, steps=5120)
    assert [row["step"] for row in metric_rows(run.path)][-2:] == ["4096", "5120"]
    log = (run.path / "log.txt").read_text()
    assert "policies x 6 + 2 x 2 updates" in log
    assert "round 2 of 2 begins" in log
    assert morl.load(run.path).front.returns.shape[1] == 2


@pytest.mark.slow
def test_the_extension_finds_what_the_first_stage_did_not(tmp_path):
    """Evaluated at the end of stage and rounds alone: the first stage leaves the two supported treasures of ten."""
    config = CMORLConfig(
        rollout_steps=16,
        epochs=4,
        minibatches=4,
        hidden=(32,),
        learning_rate=3e-3,
        entropy_coefficient=0.1,
        extension_share=0.6,
    )
    run = small(
        tmp_path / "run",
        config,
        env="deep-sea-treasure-concave-v0",
        steps=200_000,
        gamma=1.0,
        reference_point=(0.0, -25.0),
        evaluations=1,
    )
    first, *_ = metric_rows(run.path)
    assert first["front_size"] == "2"
    assert float(first["hypervolume"]) == pytest.approx(762, rel=1e-5)
    assert len(run.front) >= 5
    assert run.front.hypervolume() > 900


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ipo", pytest.param("cpo", marks=pytest.mark.slow)])
def test_both_stages_with_nine_objectives(method, tmp_path):
    """Three policies: a group of learners that extends one is spread over rounds."""
    config = CMORLConfig(
        num_policies=3,
        num_envs=2,
        rollout_steps=12,
        minibatches=2,
        epochs=1,
        hidden=(8,),
        extension=method,
        extension_share=0.6,
        extension_updates=1,
    )
    kwargs = {"episode_steps": 12}
    run = small(tmp_path / "run", config, env="building-9d-v0", env_kwargs=kwargs, steps=3 * 24 * 5, evaluations=1)
    assert "3 policies x 2 + 3 x 1 updates" in (run.path / "log.txt").read_text()
    rows = metric_rows(run.path)
    assert [row["step"] for row in rows] == ["144", "216", "288", "360"]
    assert run.front.returns.shape[1] == 9
    for name, value in rows[-1].items():
        assert np.isfinite(float(value)), name


def test_fronts_are_evaluated_on_seeds_that_training_never_saw(tiny, tmp_path, monkeypatch):
    asked, evaluate = [], JaxBackend.evaluate

    def spied(self, policies, preferences, keys, episodes):
        asked.append((episodes, {key.tobytes() for key in np.asarray(jax.random.key_data(keys))}))
        return evaluate(self, policies, preferences, keys, episodes)

    monkeypatch.setattr(JaxBackend, "evaluate", spied)
    settings = TrainSettings(
        env="deep-sea-treasure-v0", steps=4000, num_seeds=2, evaluations=3, eval_episodes=2, final_episodes=3
    )
    morl.train("tiny", dataclasses.replace(settings, out=tmp_path / "run"), TinyConfig())
    training = set().union(*(keys for episodes, keys in asked if episodes == 2))
    final = set().union(*(keys for episodes, keys in asked if episodes == 3))
    assert len(training) >= 6  # of each evaluation and seed
    assert len(final) == 2
    assert not training & final


def test_host_environments_feed_the_same_agent(tmp_path):
    """MO-Gymnasium's deep-sea-treasure through the host back-end, evaluated by the compiled environment."""
    config = CMORLConfig(num_policies=4, num_envs=8, rollout_steps=32, hidden=(32,))
    settings = TrainSettings(
        env="deep-sea-treasure-v0",
        backend="host",
        steps=40_000,
        evaluations=4,
        eval_episodes=2,
        final_episodes=2,
        out=tmp_path / "host",
        reference_point=(0.0, -25.0),
    )
    run = morl.train("cmorl", settings, config)
    assert run.config["backend"] == "host"
    assert run.front.hypervolume() > 100.0
    env = morl.make("deep-sea-treasure-v0")
    true = env.true_front(1.0)
    for point in run.front.returns:
        assert (true >= point - 1e-5).all(axis=1).any()


def test_worker_processes_and_overlap_change_nothing_but_the_speed(tiny, tmp_path):
    """Compare trainings of both stages; a rollout that a half has begun must not leak into the next round."""
    settings = {"backend": "host", "steps": 640, "evaluations": 5}
    alone = small(tmp_path / "alone", TinyConfig(), "tiny", **settings)
    assert "round 2 of 2" in (alone.path / "log.txt").read_text()
    shared = small(tmp_path / "shared", TinyConfig(), "tiny", **settings, processes=2)
    assert metric_rows(alone.path) == metric_rows(shared.path)
    assert (alone.path / "front.csv").read_text() == (shared.path / "front.csv").read_text()
    halves = small(tmp_path / "halves", TinyConfig(), "tiny", **settings, processes=1, overlap=True)
    for one, two in zip(metric_rows(alone.path), metric_rows(halves.path), strict=True):
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            {name: float(value) for name, value in two.items()}, rel=1e-5, nan_ok=True
        )
    np.testing.assert_allclose(halves.front.returns, alone.front.returns, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "minecart-v00"}, "unknown environment 'minecart-v00'.*minecart-v0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"processes": 2}, "deep-sea-treasure-v0 is compiled with JAX; --processes is for environments on the host"),
        ({"threads": 2}, "deep-sea-treasure-v0 is compiled with JAX; --threads is for environments on the host"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"overlap": True}, "deep-sea-treasure-v0 is compiled with JAX; --overlap is for environments on the host"),
        ({"overlap": True, "backend": "host"}, "overlap needs worker processes: give --processes"),
        ({"processes": -1}, "processes must be at least 0"),
        ({"processes": 99, "backend": "host"}, "processes must be at most 32, the environments of all policies"),
        ({"env_kwargs": {"maze": [b"_1G"]}}, r"env_kwargs: maze\[0\] must be true or false, .*, not bytes"),
        ({"steps": 511}, "steps must be at least 512"),
        ({"reference_point": (0.0, 0.0, 0.0)}, "the reference point has 2 finite numbers"),
        ({"gamma": 1.5}, "gamma must be at least 0 and at most 1, not 1.5"),
        ({"env": "CartPole-v1"}, "CartPole-v1 has a scalar reward"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
        ({"backend": "jax", "env": "minecart-rgb-v0"}, "has no JAX-native environment"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        small(tmp_path / "never", **changes)
    assert not (tmp_path / "never").exists()


def test_a_front_that_cannot_be_computed_is_left_out():
    """Two starts: the environment refuses, and the training must not fail for it."""
    plan = prepare("cmorl", TrainSettings(env="four-room-v0", env_kwargs={"maze": ("_12", " 3G")}))
    assert plan.true_front.shape[1] == 3
    plan = dataclasses.replace(plan, env=FourRoom(maze=("_1G", "_  ")))
    assert plan.true_hypervolume is None


def test_the_discount_of_a_registration_holds_for_any_number_of_objectives():
    settings = load(agent_spec("mogfn").settings)
    for objectives in (2, 3):
        plan = prepare("mogfn", settings(env="hypergrid-v0", env_kwargs={"num_objectives": objectives}))
        assert len(plan.objectives) == objectives
        assert plan.gamma == 1.0


def test_a_run_never_overwrites_another(dst_run):
    before = (dst_run.path / "front.csv").read_bytes()
    with pytest.raises(UserError, match="is not empty and a run never overwrites another"):
        small(dst_run.path)
    assert (dst_run.path / "front.csv").read_bytes() == before


def test_a_path_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to the run directory .*file/run: Not a directory"):
        small(tmp_path / "file" / "run")
