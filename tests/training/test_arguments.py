"""Forms in which a training is called in Python: ids, objects, keywords, settings; and names of objectives."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import yaml

import morl
from morl.cli import main
from morl.envs.objects import from_object
from morl.errors import UserError
from morl.settings import TrainSettings
from morl.training import estimate
from morl.training.arguments import training_arguments
from tests.tiny import TinyConfig
from tests.walks import JaxWalk, Uncopied, Unrecorded, Walk, make_nothing, make_walk

TINY = "tests.tiny:SPEC"
SMALL = {"steps": 64, "rounds": 0, "evaluations": 1, "eval_episodes": 1, "final_episodes": 1}
POINT = {"reference_point": (-200, -200)}


def given(env, **changes):
    return training_arguments("cmorl", env, changes=changes)


# --- Settings by keywords ---------------------------------------------------------------------------------------------


def test_keywords_reach_the_settings_of_the_run_and_of_the_agent():
    found = given("deep-sea-treasure-v0", steps=2e4, num_policies=4, out="runs/x")
    settings = found.settings
    assert (settings.env, settings.steps, str(settings.out)) == ("deep-sea-treasure-v0", 20_000, "runs/x")
    assert found.config.num_policies == 4
    assert found.env is None


def test_keywords_win_over_settings_in_either_place():
    settings, config = TrainSettings(env="four-room-v0", steps=5), TinyConfig(step=0.25)
    for arguments in ({"env": settings}, {"settings": settings}):
        found = training_arguments(TINY, config=config, changes={"steps": 7}, **arguments)
        assert found.settings == dataclasses.replace(settings, steps=7)
        assert found.config == config
    assert training_arguments(TINY, "minecart-v0", settings=settings).settings.env == "minecart-v0"


def test_a_users_config_that_checks_nothing_is_converted_too():
    config = TinyConfig(step="0.25", rounds=2.0)
    found = training_arguments(TINY, "four-room-v0", config).config
    assert found == TinyConfig(0.25, 2)
    assert type(found.rounds) is int
    assert config.rounds == 2.0, "the caller's own object is left as it is"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: morl.train("cmorl", "four-room-v0", num_policy=4), "unknown setting 'num_policy'; did you mean num"),
        (lambda: morl.evaluate("runs/x", episode=4), "unknown setting 'episode'; did you mean episodes"),
        (lambda: morl.train("cmorl", "four-room-v0", stepps=4), "unknown setting 'stepps'; did you mean steps"),
        (lambda: morl.train("cmorl", "four-rooms-v0"), "unknown environment 'four-rooms-v0'; did you mean four-room"),
        (lambda: morl.train(Walk), "the agent comes first, by its name, such as cmorl, not"),
        (lambda: morl.train("cmorl", 3), "env must be an id, an environment in JAX or of Gymnasium, or a class"),
        (lambda: morl.train("cmorl", TrainSettings(), settings=TrainSettings()), "the settings are given twice"),
        (lambda: morl.train("cmorl", "four-room-v0", steps="many"), "steps must be a whole number, not 'many'"),
        (lambda: morl.train("cmorl", Walk, backend="jax", **POINT), "has no jax back-end; allowed backend: host"),
        (lambda: morl.train("cmorl", Walk(), env_kwargs={"length": 3}), "the Walk given is made already"),
        (lambda: morl.train("cmorl", Walk, env_kwargs={"size": 3}), "Walk has no keyword 'size'; allowed: length, "),
        (lambda: morl.train("cmorl", Walk), "tests.walks:Walk has no reference point of its own; give"),
        (lambda: morl.train("cmorl", Walk, env_kwargs=["length", 3]), "env_kwargs must be a mapping of names"),
        (lambda: morl.train("mogfn-al", TrainSettings()), "a run of mogfn-al takes a SearchSettings, not"),
        (lambda: morl.train("cmorl", lambda: Walk(), processes=2), "<lambda> cannot be sent to worker processes"),
        (lambda: morl.train("cmorl", make_nothing), "make_nothing makes no environment in JAX or of Gymnasium"),
        (lambda: morl.train("cmorl", Uncopied()), "Uncopied cannot be copied: RuntimeError: a handle of a simul"),
        (lambda: morl.train("cmorl", gymnasium.make_vec("morl/four-room-v0")), "give one environment, or a class"),
        (lambda: morl.train("cmorl", "tests.walks:Wolk"), "did you mean tests.walks:Walk"),
        (lambda: morl.train("cmorl", "tests.walks:NUMBER"), "env must be an id, an environment in JAX or of Gymnasium"),
        (lambda: morl.train("cmorl", "tests.walks:RegisteredWolk-v0"), "did you mean tests.walks:RegisteredWalk-v0"),
        (lambda: morl.train("cmorl", env="<Walk>"), "is an object of a Python program and has no id that makes it"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        call()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


# --- Environments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "kwargs", "id", "keywords", "backend"),
    [
        (lambda: morl.make("minecart-v0", frame_skip=2), {}, "minecart-v0", {"frame_skip": 2}, "jax"),
        (lambda: morl.make("fruit-tree-v0", backend="host", depth=5), {}, "fruit-tree-v0", {"depth": 5}, "host"),
        (lambda: gymnasium.make("morl/four-room-v0"), {}, "four-room-v0", {}, "jax"),
        (lambda: gymnasium.make("RegisteredWalk-v0", length=3), {}, "RegisteredWalk-v0", {"length": 3}, "host"),
        (lambda: Walk, {"length": 4}, "tests.walks:Walk", {"length": 4}, "host"),
        (lambda: make_walk, {}, "tests.walks:make_walk", {}, "host"),
        (lambda: JaxWalk, {"kind": "dent"}, "tests.walks:JaxWalk", {"kind": "dent"}, "jax"),
        (lambda: lambda: JaxWalk(), {}, "<lambda>", {}, "jax"),
        (lambda: JaxWalk("dent"), {}, "<JaxWalk>", {}, "jax"),
        (lambda: Walk(length=3), {}, "<Walk>", {}, "host"),
        (lambda: Unrecorded(gymnasium.make("RegisteredWalk-v0"), 3), {}, "<Walk>", {}, "host"),
    ],
)
def test_objects_and_the_ids_that_make_them_again(env, kwargs, id, keywords, backend):
    found = given(env(), env_kwargs=kwargs)
    assert (found.settings.env, found.settings.env_kwargs) == (id, keywords)
    assert found.env.backend == backend
    if not id.startswith("<"):
        again = morl.make(found.settings.env, backend, **found.settings.env_kwargs)
        assert again.observation_space == found.env.env.observation_space
        assert again.max_episode_steps == found.env.env.max_episode_steps


def test_a_changed_copy_is_not_taken_for_what_it_was_copied_from():
    env = morl.make("minecart-v0")
    assert given(dataclasses.replace(env, frame_skip=2)).settings.env == "<Minecart>"


def test_copies_of_an_instance_keep_its_wrappers_and_leave_it_alone():
    env = Unrecorded(Walk(length=2), shift=5)
    env.reset(seed=0)
    env.step(1)
    vector = given(env).env.env.make_vector(2)
    vector.reset(0)
    step = vector.step(np.array([1, 1]))
    assert step.reward.tolist() == [[6.0, 4.0]] * 2
    vector.close()
    assert env.unwrapped.steps == 1


@pytest.fixture(scope="module")
def on_an_object(tmp_path_factory):
    env = Walk(length=6, render_mode="rgb_array")
    path, changes = tmp_path_factory.mktemp("runs") / "walk", {**SMALL, **POINT, "steps": 256}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "MEASURED_SECONDS", 0.0)
        patch.setattr(estimate, "SHORT", 0.0)
        return env, morl.train(TINY, env, objectives=["place", "effort"], out=path, **changes)


def test_the_time_to_go_is_in_the_log_once(on_an_object):
    _, run = on_an_object
    assert (run.path / "log.txt").read_text().count("of training to go at") == 1


def test_a_run_on_an_object_is_loaded_with_it(on_an_object):
    env, run = on_an_object
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert (config["env"], config["objectives"], config["backend"]) == ("<Walk>", ["place", "effort"], "host")
    calls = (morl.load, morl.evaluate, lambda path: morl.play(path, [0.5, 0.5]), lambda path: morl.train(resume=path))
    for call in calls:
        with pytest.raises(UserError, match=r"the environment <Walk> is an object .* morl.load\(run, env=object\)"):
            call(run.path)
    assert main(["evaluate", str(run.path)]) == 2
    again = morl.load(run, env=env)
    assert (again.front.returns == run.front.returns).all()
    assert morl.train(resume=run.path, env=env).front.returns.tolist() == run.front.returns.tolist()
    (front,) = morl.evaluate(run, env=env, episodes=3).values()
    assert front.episodes == 3
    assert front.length.max() == 6
    frames = []
    (episode,) = morl.play(run, [0.5, 0.5], env=env).episodes(on_frame=frames.append)
    assert len(episode.actions) == 6
    assert len(frames) == 7


def test_names_of_objectives_are_used_everywhere(on_an_object):
    env, run = on_an_object
    assert run.front.objectives == ("place", "effort")
    header = (run.path / "front.csv").read_text().splitlines()[0]
    assert header.startswith("seed,id,trained_for_place,trained_for_effort,place,effort,place_stderr")
    assert morl.load(run, env=env).front.objectives == ("place", "effort")
    (front,) = morl.evaluate(run, env=env).values()
    assert front.objectives == ("place", "effort")


def test_module_and_class_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "run"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    flags += ["--env-kwargs", "length", "4", "--reference-point", "-50", "-50", "--objectives", "place", "effort"]
    assert main(["train", TINY, "--env", "tests.walks:Walk", *flags, "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"next: morl report {path}" in out
    run = morl.load(path)
    assert run.config["env"] == "tests.walks:Walk"
    assert run.front.length.max() == 4
    assert main(["front", str(path)]) == 0
    assert "effort" in capsys.readouterr().out
    assert main(["train", "--resume", str(path)]) == 0


def test_module_and_name_is_checked_as_well(capsys):
    assert main(["check-env", "tests.walks:JaxWalk"]) in (0, 1)
    assert "attributes" in capsys.readouterr().out
    assert main(["check-env", "tests.walks:Walk"]) in (0, 1)
    assert "reward" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("one",), "objectives must be 2 names, one for each number of the reward, not 1"),
        (("one", "one"), "one is twice"),
        (("one", "length"), "length is twice"),
        (("one", "one_stderr"), "one_stderr is twice"),
        (("one", ""), "objectives must be names such as speed, not ''"),
        (("one", "a,b"), "objectives must be names such as speed, not 'a,b'"),
    ],
)
def test_names_that_cannot_be(names, message):
    with pytest.raises(UserError, match=message):
        morl.train("cmorl", "deep-sea-treasure-v0", objectives=names)


def test_keywords_that_are_lists_make_an_environment_again():
    given = from_object(morl.make("four-room-v0", maze=["_1G", "_  "]), {})
    assert given.id == "four-room-v0"
    assert morl.make(given.id, **given.kwargs).maze == ("_1G", "_  ")
