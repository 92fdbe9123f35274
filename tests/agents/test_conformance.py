"""Every registered agent keeps the core's promises: it trains, resumes, exports, evaluates again and compiles once."""

import dataclasses

import jax
import numpy as np
import pytest

import morl
from morl import loading
from morl.errors import UserError
from morl.registry import agent_spec, agent_specs, load
from morl.training.backends import devices
from morl.training.setup import prepare

RUN = {"seed": 1, "steps": 960, "evaluations": 2, "eval_episodes": 2, "final_episodes": 2, "checkpoint_minutes": 0.0}
ROLLOUTS = {"num_envs": 8, "rollout_steps": 8, "epochs": 1, "minibatches": 2, "hidden": (8,)}
ON_POLICY = {**ROLLOUTS, "num_policies": 2}
OFF_POLICY = {
    "num_envs": 8,
    "rollout_steps": 8,
    "gradient_steps": 1,
    "batch_size": 16,
    "replay_capacity": 256,
    "learning_starts": 128,
    "hidden": (8,),
}
RATIO = {name: value for name, value in OFF_POLICY.items() if name != "gradient_steps"}
GRID = {"env": "fruit-tree-v0", "env_kwargs": {"depth": 5}}  # untrained policies make a front there already
LABELS = {"initial": 8, "rounds": 3, "round_size": 4, "bases": 4, "pool": 8, "proposer": "genetic"}
CASES = {
    "ppo": ({**RUN, **GRID}, ON_POLICY),
    "cmorl": ({**RUN, **GRID}, {**ON_POLICY, "extension_updates": 2}),
    "d3po": ({**RUN, **GRID}, {**ROLLOUTS, "num_preferences": 4, "conditioning": "film"}),
    "capql": ({**RUN, **GRID}, {**RATIO, "update_ratio": 1 / 64, "num_preferences": 4}),
    "gmorl": ({**RUN, **GRID}, {**OFF_POLICY, "num_preferences": 4}),
    "dsac": ({**RUN, **GRID}, {**OFF_POLICY, "num_policies": 2}),
    "gpi-ls": ({**RUN, **GRID}, {**OFF_POLICY, "num_preferences": 4, "max_support": 8, "rotation_steps": 64}),
    "mogfn": ({**RUN, "env": "hypergrid-v0", "steps": 160}, {"batch": 16, "hidden": (8,), "num_preferences": 4}),
    "mogfn-al": ({"env": "ngrams-v0", "seed": 1}, LABELS),
}


def settings_of(name, **changes):
    """Return the settings of a case as the objects that ``morl.train`` takes."""
    spec, (training, own) = agent_spec(name), CASES[name]
    return load(spec.settings)(**{**training, **changes}), load(spec.config)(**own)


def stopping_at(chunk):
    """Return a ``should_stop`` that is true when it is asked for the so-manieth time."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) == chunk


@pytest.fixture(scope="module", params=sorted(CASES))
def run(request, finished_run):
    """Return a finished run of each agent."""
    return finished_run(request.param)


def test_every_registered_agent_is_tried():
    ours = {name for name, spec in agent_specs().items() if spec.entry_point.startswith("morl.agents.")}
    assert set(CASES) == ours  # other tests register agents of their own in this process


def test_it_trains_to_a_front_that_is_read_back(run):
    assert run.finished
    assert len(run.front) > 0
    assert np.isfinite(run.front.returns).all()
    again = morl.load(run.path)
    np.testing.assert_array_equal(again.front.returns, run.front.returns)
    assert again.config == run.config
    for name in ("config.yaml", "metrics.csv", "front.csv", "front.png", "log.txt"):
        assert (run.path / name).stat().st_size > 0


def test_it_resumes_to_the_same_front(run, tmp_path):
    name = run.config["agent"]
    settings, config = settings_of(name, out=tmp_path / "run")
    stopped = morl.train(name, settings, config, should_stop=stopping_at(1))
    assert not stopped.finished
    resumed = morl.train(resume=stopped.path)
    assert resumed.finished
    assert (resumed.path / "front.csv").read_text() == (run.path / "front.csv").read_text()


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_it_evaluates_and_exports_or_says_why_not(run, command, tmp_path):
    setup, _ = loading.setup_of(run.path)

    def work():
        if command == "evaluate":
            again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=3))
            assert again[1].returns.shape[1] == run.front.returns.shape[1]
            return
        from morl.export import export

        done = export(run.path, tmp_path / "policy.jax", format="jax", policy=0)
        assert done.size > 0

    reason = setup.solution_set.unsupported.get(command)
    if reason is None:
        work()
    else:
        with pytest.raises(UserError, match="cannot work on a run of") as told:
            work()
        assert reason in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_compiles_once(name):
    """Chunks of other lengths, evaluations and later stages of the same learner run what the first ones compiled."""
    settings, config = settings_of(name)
    setup = prepare(name, settings, config)
    chosen = devices.choose("auto", len(setup.agent.preferences), setup.spec.split_cores)
    backend = setup.make_backend(setup.agent.preferences, eval_episodes=2, devices=chosen)
    solutions = setup.make_solution_set([1], 8)
    keys = list(jax.random.split(jax.random.key(0), len(setup.agent.preferences)))
    state, compiled = backend.init(keys), []
    solutions.begin(backend.policies(state), setup.agent.preferences)

    def train_and_evaluate(state, updates):
        state, _ = backend.run(state, updates)
        solutions.update(backend, backend.policies(state), setup.agent.preferences, jax.random.key(updates)[None], 2)
        return state

    def count(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    for _ in range(2):
        state = train_and_evaluate(state, 1)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        train_and_evaluate(state, 2)
    finally:
        jax.monitoring.clear_event_listeners()
    backend.close()
    assert not compiled


def test_settings_are_dataclasses_whose_fields_have_help():
    for spec in agent_specs().values():
        for cls in (load(spec.config), load(spec.settings)):
            assert dataclasses.is_dataclass(cls)
            assert all(field.init for field in dataclasses.fields(cls))
