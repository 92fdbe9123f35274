"""The command line as a user meets it: what it prints, and one line with exit code 2 for every mistake."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
from gymnasium import spaces

import morl
from morl import cli
from morl.agents.cmorl import presets
from morl.cli import main
from morl.registry import env_spec

FAST = [
    *["--steps", "4096", "--num-policies", "4", "--num-envs", "8", "--rollout-steps", "16", "--hidden", "16"],
    *["--evaluations", "2", "--eval-episodes", "2", "--final-episodes", "2"],
]
# compiles fast, for what does not depend on the agent
TINY = ["train", "tests.tiny:SPEC", "--steps", "640", *FAST[-6:]]


def run(capsys, *args):
    code = main(args)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("flags", ["--preset paper", "--preset=gmorl-paper", "--protocol paper"])
def test_published_settings_of_gmorl(flags):
    """Yang et al. (2025): 4000 epochs of 64 environments x 100 steps, ten rounds of updates for each environment."""
    from morl.agents.gmorl import GMORLConfig
    from morl.cli.train import parse
    from morl.training.setup import prepare

    settings, config = parse("gmorl", GMORLConfig, ["--env", "mec-offloading-v0", *flags.split(), "--tau", "0.01"])
    agent = prepare("gmorl", settings, config).agent
    assert (settings.steps, agent.updates, agent.learner.gamma) == (4000 * 64 * 100, 4000, 0.95)
    assert (config.gradient_steps, config.batch_size, config.learning_rate) == (640, 4096, 1e-6)
    assert (config.network, config.channels, config.hidden) == ("convolution", 512, (1024, 1024))
    assert (config.objective_scales, config.temperature, config.tau) == ((0.01, 50.0), 0.05, 0.01)


def test_settings_of_gmorl_for_far_rewards():
    from morl.agents.gmorl import GMORLConfig
    from morl.cli.train import parse

    settings, config = parse("gmorl", GMORLConfig, ["--env", "minecart-v0", "--preset", "far", "--n-step", "5"])
    assert settings.env == "minecart-v0"
    assert (config.n_step, config.temperature, config.relabel_preferences) == (5, 0.2, False)


@pytest.mark.parametrize("args", [(), ("--help",), ("envs", "--help"), ("agents", "-h"), ("train", "--help")])
def test_help(args, capsys):
    code, out, err = run(capsys, *args)
    assert (code, err) == (0, "")
    assert out.startswith("usage: morl")


def test_a_command_is_one_file(capsys, tmp_path, monkeypatch):
    (tmp_path / "say_hello.py").write_text(
        'COMMAND = (5, "NAME", "greet somebody")\n\n\ndef main(args):\n    print(f"hello {args[0]}")\n    return 7\n'
    )
    (tmp_path / "helper.py").write_text("OTHER = 1\n")
    monkeypatch.setattr(cli, "files", lambda package: tmp_path)
    monkeypatch.setattr(cli, "__path__", [str(tmp_path)])
    cli.commands.cache_clear()
    try:
        assert cli.commands() == {"say-hello": ("NAME", "greet somebody")}
        assert "  say-hello NAME  greet somebody\n" in run(capsys, "--help")[1]
        assert run(capsys, "say-hello", "Ada") == (7, "hello Ada\n", "")
    finally:
        cli.commands.cache_clear()
        sys.modules.pop("morl.cli.say_hello", None)


def test_the_help_imports_no_command(tmp_path):
    code = (
        "import sys; from morl.cli import main; main(['--help']);"
        "print({'jax', 'tyro', 'rich', 'matplotlib', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "set()\n"


def test_help_of_an_agent_names_every_setting(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "cmorl", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for flag in (
        "--env",
        "--steps",
        "--num-seeds",
        "--reference-point",
        "--learning-rate",
        "--num-policies",
        "--config",
    ):
        assert flag in out
    assert "Step size of Adam. (default: 0.001)" in " ".join(out.split())


def test_flags_win_over_a_protocol():
    from morl.agents.cmorl import CMORLConfig
    from morl.cli.train import parse

    settings, config = parse("cmorl", CMORLConfig, ["--preset", "paper", "--epochs", "3"])
    assert (settings.steps, settings.gamma, settings.env) == (
        2_000_000,
        0.98,
        "minecart-v0",
    )  # as published, 500 000 of 4 at once
    assert (config.num_envs, config.rollout_steps, config.epochs, config.extension_share) == (4, 2048, 3, 0.6)
    settings, config = parse("cmorl", CMORLConfig, ["--env", "mo-ant-2obj-v5", "--protocol=cmorl-paper"])
    assert (settings.env_kwargs, config.num_policies) == ({"max_episode_steps": 500}, 3)


@pytest.mark.parametrize("env", sorted(presets._ROWS))
def test_the_published_settings_leave_both_stages_their_updates(env):
    from morl.agents.cmorl import CMORL, CMORLConfig
    from morl.cli.train import parse
    from morl.types import Task

    settings, config = parse("cmorl", CMORLConfig, ["--env", env, "--protocol", "cmorl-paper"])
    spec = env_spec(env)
    box = spaces.Box(-1, 1, (3,))
    agent = CMORL(config, Task(box, box, len(spec.objectives), settings.gamma, settings.steps))
    row, rounds = presets._ROWS[env], agent.extension.rounds
    first, both = (steps / (row.policies * 2048) for steps in (row.first, row.total))
    assert agent.updates == pytest.approx(first, abs=rounds + 1)  # whole updates of whole rounds
    assert agent.updates + rounds * agent.extension.updates == int(both)
    assert 16 <= agent.extension.updates <= 24  # about the published 20
    assert (config.num_envs, config.rollout_steps, config.epochs, config.minibatches) == (4, 2048, 10, 32)
    assert (config.learning_rate, config.clip_eps, config.max_grad_norm, config.value_coefficient) == (
        3e-4,
        0.2,
        0.5,
        0.5,
    )
    assert (config.train_gamma, config.gae_lambda, config.entropy_coefficient) == (0.995, 0.95, 0.0)
    assert (config.constraint_beta, config.barrier, settings.archive_capacity) == (0.9, 20.0, 200)


@pytest.mark.parametrize("width", [40, 80])
def test_environments_fit_a_terminal_and_are_a_table_elsewhere(width, capsys, monkeypatch):
    main(["envs"])
    table = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    main(["envs"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if not line.startswith(" ")]) == len(table) - 1
    assert "minecart-v0 (jax)" in lines
    monkeypatch.setenv("COLUMNS", "1000")
    main(["envs"])
    assert capsys.readouterr().out.splitlines() == table


def test_lists(capsys):
    code, out, _ = run(capsys, "envs")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} >= {
        "minecart-v0",
        "deep-sea-treasure-concave-v0",
        "mo-hopper-v5",
    }
    code, out, _ = run(capsys, "agents")
    assert code == 0
    assert "cmorl" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian", "morl: error: unknown command 'trian'; did you mean train?"),
        ("envs all", "morl envs: error: unknown suite 'all'; known: brax, gymnax, jumanji, playground"),
        ("envs brax all", "morl envs: error: envs takes at most the name of a suite, not 'brax all'"),
        ("train cmrol", "morl train: error: unknown agent 'cmrol'; did you mean cmorl or gmorl?"),
        ("train --env x", "morl train: error: the agent comes first"),
        ("train cmorl --env minecrat-v0", "unknown environment 'minecrat-v0'; did you mean minecart-v0"),
        ("train cmorl --steps 0", "steps must be at least 1, not 0"),
        ("train cmorl --steps ten", "--steps must be a whole number, not 'ten'"),
        ("train cmorl --stpes 10", "unknown flag '--stpes'; did you mean --steps"),
        ("train cmorl --reference-point 0 0", "has 3 finite numbers, one for each of ore_1, ore_2, fuel, not 2 (0 0)"),
        ("train cmorl --learning-rate -1", "--learning-rate must be greater than 0, not -1.0"),
        ("train cmorl --activation gelu", "--activation must be one of tanh, relu, silu, not 'gelu'"),
        ("train cmorl --config nowhere.yaml", "cannot read nowhere.yaml: No such file or directory"),
        (
            "train gmorl --preset paper",
            "the preset paper of gmorl has settings for mec-offloading-v0, not for 'minecart-v0'",
        ),
        ("train gmorl --network rows", "network rows needs features of each action"),
        (
            "train gmorl --scalarisation chebyshev",
            "--scalarisation must be one of linear, tchebycheff, not 'chebyshev'; did you mean tchebycheff?",
        ),
        ("train cmorl --preset papr", "unknown preset of cmorl 'papr'; did you mean paper?"),
        ("train cmorl --preset cmorl-papr", "unknown preset of cmorl 'papr'; did you mean paper?"),
        (
            "train cmorl --preset paper --env four-room-v0",
            "the preset paper of cmorl has no settings for 'four-room-v0'",
        ),
        ("train cmorl --env CartPole-v1", "CartPole-v1 has a scalar reward"),
        ("train cmorl --device tpu", "device 'tpu' is not available to JAX here"),
        (
            "train cmorl --env fruit-tree-v0 --env-kwargs dept 7",
            "fruit-tree-v0 has no keyword 'dept'; allowed: depth; did you mean depth?",
        ),
        (
            "train cmorl --env fruit-tree-v0 --env-kwargs depth",
            "a name and a value in turn, and 'depth' has no value",
        ),
        ("train cmorl --env fruit-tree-v0 --env-kwargs depth 8", "depth must be one of 5, 6, 7, not 8"),
        ("train cmorl --env fruit-tree-v0 --env-kwargs backend jax", "fruit-tree-v0 has no keyword 'backend'"),
        ("front nowhere", "nowhere does not exist"),
        ("compare a\0b", "has a null character"),
        ("evaluate", "RUN is missing: morl evaluate RUN"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *line.split())
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [1, 2]\n", "config.yaml: "),
        ("stesp: 100\n", "config.yaml: unknown setting 'stesp'; did you mean steps"),
        ("steps: many\n", "config.yaml: steps must be a whole number, not 'many'"),
        ("- 1\n- 2\n", "config.yaml must hold a mapping of settings by name"),
        ("a: [1\n", "config.yaml is not valid YAML"),
        ("agent: gmorl\n", "config.yaml holds settings of the agent 'gmorl', not of 'cmorl'"),
        ("run: {format: 99}\n", "config.yaml has run format 99; this version of morl reads format 3"),
        ("env: --help\n", "config.yaml: env must not start with a dash, as '--help' does"),
        ("hidden: ['--help']\n", "config.yaml: hidden must not start with a dash"),
        ("steps: {a: 1}\n", "config.yaml: steps must be a number, a text or a list of them, not dict"),
        (
            "env_kwargs: {depth: [!!binary aGk=]}\n",
            "env_kwargs: depth[0] must be true or false, a number, a text, a list or",
        ),
        ("!!python/object/apply:os.system ['touch owned']\n", "config.yaml is not valid YAML"),
    ],
)
def test_mistakes_in_a_config_file(text, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    code, out, err = run(capsys, "train", "cmorl", "--config", "config.yaml")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    from morl.agents.cmorl import CMORLConfig
    from morl.cli.train import parse

    path = tmp_path / "c.yaml"
    path.write_text(
        "agent: cmorl\nsteps: 70\nhidden: [8, 9]\nnormalise_rewards: false\ngamma: null\nreference_point: [-1, -2]\n"
    )
    settings, config = parse("cmorl", CMORLConfig, ["--config", str(path), "--steps", "80"])
    assert settings.steps == 80
    assert settings.reference_point == (-1.0, -2.0)
    assert settings.gamma is None
    assert (config.hidden, config.normalise_rewards, config.epochs) == ((8, 9), False, CMORLConfig().epochs)


def test_train_front_evaluate_and_train_again_from_the_config(capsys, tmp_path):
    out = tmp_path / "run"
    code, stdout, err = run(capsys, "train", "cmorl", "--env", "deep-sea-treasure-v0", "--out", str(out), *FAST)
    assert code == 0, err
    assert f"picture: {out / 'front.png'}" in stdout
    assert "4 policies x 8 updates x 128 steps = 4,096 steps" in err

    code, shown, _ = run(capsys, "front", str(out))
    assert code == 0
    assert "treasure" in shown
    code, one, _ = run(capsys, "front", str(out), "--preference", "0", "1")
    assert code == 0
    assert len(one.splitlines()) == 3
    code, text, _ = run(capsys, "front", str(out), "--csv")
    assert text == (out / "front.csv").read_text()
    numbers = tmp_path / "numbers.csv"
    flags = ["--episodes", "3", "--reference-point", "0,-25", "--out", str(numbers)]
    code, again, _ = run(capsys, "evaluate", str(out), *flags)
    assert code == 0
    assert "3 greedy episodes" in again
    assert "reference 0 -25)" in again
    assert "HV above 0 -25" in again
    *_, header, row, about, protocol, yardsticks, anchors, written = [
        line for line in again.splitlines() if not line.startswith("note: ")
    ]
    rows = list(csv.DictReader(numbers.read_text().splitlines()))
    assert written == f"numbers: {numbers} ({len(rows)} rows)"
    assert [row["id"] for row in rows] == [str(i) for i in range(len(morl.load(out).front))]
    assert {(row["episodes"], row["evaluation_seed"], row["gamma"]) for row in rows} == {("3", "0", "1.0")}
    again = run(capsys, "evaluate", str(out), *flags)
    assert again == (2, "", f"morl evaluate: error: {numbers} exists already; choose another name\n")
    assert "reference 0 -25)" in run(capsys, "front", str(out), "--reference-point", "0", "-25")[1]
    assert header.split()[:8] == ["seed", "HV", "EU", "IGD+", "SP", "tight", "box", "covered"]
    assert header.split()[8:] == ["gap", "EPS+", "MUL", "UL", "N"]
    assert len(row.split()) == 13
    assert "IGD+, tight, box, covered, gap, EPS+, MUL and UL against the true front" in about
    assert protocol.startswith("protocol: deep-sea-treasure-v0 (morlax ")
    assert "100 steps at most), γ = 1, 3 episodes each" in protocol
    assert yardsticks == "yardsticks: reference point 0 -25; tight -1.6 -20.8, of the true front, 10 points"
    assert "first action 0 / 0" in anchors  # bumps into the wall

    for flags, message in (
        (["--preference", "0.7", "0.7"], "the weights of a preference add up to 1, not 1.4; did you mean 0.5 0.5?"),
        (["--preference", "1"], "a preference here has 2 weights"),
        (["--preference", "-1", "2"], "the weights of a preference are finite and at least 0"),
        (["--seed", "3"], "seed 3 is not in this run; it has 0"),
    ):
        code, _, err = run(capsys, "front", str(out), *flags)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1

    copy = tmp_path / "copy"
    code, _, err = run(capsys, "train", "cmorl", "--config", str(out / "config.yaml"), "--out", str(copy))
    assert code == 0, err
    assert (copy / "front.csv").read_text() == (out / "front.csv").read_text()


def test_damaged_runs_are_one_line(dst_run, capsys, tmp_path):
    import shutil

    def damaged(name, change, command="front"):
        copy = tmp_path / name
        shutil.copytree(dst_run.path, copy)
        change(copy)
        code, _, err = run(capsys, command, str(copy))
        assert (code, err.count("\n")) == (2, 1), err
        return err

    assert "has not finished" in damaged("unfinished", lambda run: (run / "front.csv").unlink())
    assert "does not hold a front" in damaged("columns", lambda run: (run / "front.csv").write_text("a,b\n1,2\n"))

    def spoil(run):
        text = (run / "front.csv").read_text().splitlines()
        text[1] = text[1].replace(text[1].split(",")[4], "__import__('os')")
        (run / "front.csv").write_text("\n".join(text))

    assert "not a number" in damaged("text", spoil)

    def shuffle(run):
        header, *rows = (run / "front.csv").read_text().splitlines()
        (run / "front.csv").write_text("\n".join([header, *rows[::-1]]))

    assert "has lost its order" in damaged("order", shuffle)

    def cut(run):
        text = (run / "front.csv").read_text()
        (run / "front.csv").write_text(text[: text.index("\n") + 2])

    assert "rows of other lengths" in damaged("cut", cut)
    assert "no checkpoint" in damaged("gone", lambda run: shutil.rmtree(run / "checkpoints" / "front"), "evaluate")
    assert "cannot read the checkpoint" in damaged(
        "shapes",
        lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("- 32\n", "- 16\n")),
        "evaluate",
    )


def test_interrupting_writes_the_front_and_exits_with_3(tmp_path):
    out = tmp_path / "run"
    flags = ["--env", "deep-sea-treasure-v0", "--out", str(out), "--steps", "500000000", "--evaluations", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "morl", *TINY, *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and len(metrics.read_text().splitlines()) > 1):
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 3, stderr
    assert "stopping: a checkpoint and the front of this moment" in stderr
    assert "picture:" in stdout
    assert (out / "front.csv").exists()
    assert "stopped early on request" in (out / "log.txt").read_text()


def test_names_of_gymnasium_get_the_settings_of_ours(capsys, tmp_path):
    """morl/deep-sea-treasure-v0 is deep-sea-treasure-v0: reported undiscounted, with its reference point."""
    out = tmp_path / "run"
    code, stdout, err = run(capsys, "train", "cmorl", "--env", "morl/deep-sea-treasure-v0", "--out", str(out), *FAST)
    assert code == 0, err
    assert "(γ = 1, reference 0 -50)" in stdout
    code, _, err = run(capsys, "front", str(out), "--csv", "--preference", "1", "0")
    assert code == 2
    assert "give it without --preference" in err


def test_keywords_of_the_environment_are_part_of_the_run(capsys, tmp_path):
    out, again = tmp_path / "run", tmp_path / "again"
    line = [*TINY, "--env", "fruit-tree-v0", "--env-kwargs", "depth", "5", "--out", str(out)]
    assert run(capsys, *line)[0] == 0
    assert "env_kwargs:\n  depth: 5\n" in (out / "config.yaml").read_text()
    assert set(morl.load(out).front.length) == {5.0}
    assert run(capsys, *TINY[:2], "--config", str(out / "config.yaml"), "--out", str(again))[0] == 0
    assert (again / "front.csv").read_text() == (out / "front.csv").read_text()


def test_a_training_that_diverges_says_so(capsys, tmp_path):
    out = tmp_path / "run"
    flags = [*FAST, "--learning-rate", "1e30"]
    code, _, err = run(capsys, "train", "cmorl", "--env", "deep-sea-treasure-v0", "--out", str(out), *flags)
    assert code == 2
    assert "every policy of seed 0 has diverged; try a lower learning_rate" in err
    assert "diverged" in (out / "log.txt").read_text()


def test_a_reader_that_goes_away_does_not_end_the_training(tmp_path):
    out = tmp_path / "run"
    flags = ["--env", "deep-sea-treasure-v0", "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "morl", *TINY, *flags], stderr=subprocess.PIPE)
    process.stderr.close()
    process.wait(timeout=120)
    assert (out / "front.csv").exists()
