"""The documentation keeps its word: the site builds, its Python runs, its commands are understood."""

import doctest
import importlib
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import morl
import morl.training.loop
import morl.tune
from morl import cli
from morl.environments import check_keywords, find
from morl.ops.metrics import check_reference_point
from morl.registry import agent_specs, env_specs, load
from tests.docs.shortened import shortened
from tests.runs.written_runs import points, write_run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "examples" / "README.md"]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def blocks(path, language):
    """Fenced blocks of a language, with the line each begins at."""
    text = path.read_text()
    found = re.finditer(rf"^( *)```{language}\n(.*?)^ *```", text, re.S | re.M)
    return [(text[: match.start()].count("\n") + 2, match[2]) for match in found]


# --- The site ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with warnings as errors, in a process of its own."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-d",
        str(out / ".trees"),
        str(DOCS),
        str(out),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_environment_has_its_section(site):
    pages = "".join(path.read_text() for path in (site / "environments").glob("*.html"))
    ours = [id for id, spec in env_specs(plug_ins=False).items() if (spec.entry_point or "morl.").startswith("morl.")]
    assert ours  # other tests have registered some of their own
    assert [id for id in ours if f'id="{id}"' not in pages] == []
    assert "-10000 -20" in pages  # a reference point, from the registry


def test_every_agent_has_its_page(site):
    listed = (site / "agents.html").read_text()
    ours = {name: spec for name, spec in agent_specs().items() if spec.entry_point.startswith("morl.")}
    assert ours
    for name, spec in ours.items():
        assert f'href="{name}.html"' in listed
        assert f"{load(spec.config).__name__}" in (site / f"{name}.html").read_text()  # its settings


def test_every_metric_has_its_page_and_says_when_it_misleads():
    from morl.constructive import metrics as gfn_metrics
    from morl.ops import metrics
    from morl.yardsticks import coverage

    text = "".join(path.read_text() for path in (DOCS / "metrics").glob("*.md"))
    helpers = {
        "check_reference_point",
        "check_points",
        "check_pair",
        "hidden_objectives",
        "span",
        "explain_no_hypervolume",
        "target",
        "top_k",
        "levenshtein",
        "levenshtein_distances",
    }
    for module in (metrics, coverage, gfn_metrics):
        own = {name for name, it in vars(module).items() if getattr(it, "__module__", "") == module.__name__}
        functions = {name for name in own if name.islower() and not name.startswith("_")} - helpers
        assert functions
        assert [name for name in functions if not re.search(rf"\b{name}\b", text)] == []
    for path in (DOCS / "metrics").glob("*.md"):
        assert re.search(r"^## When (it|they) misleads?$", path.read_text(), re.M), path
        assert "## Reproduce" in path.read_text(), path


def test_tables_refuse_what_is_not_registered(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS))
    tables = importlib.import_module("tables")
    with pytest.raises(ValueError, match="no registered environment is called 'sea-v9'"):
        tables.chosen("minecart-v0 sea-v9")


# --- Commands ---------------------------------------------------------------------------------------------------------

COMMAND = re.compile(r"^(?:JAX_\w+=\S+ |until |[\w./]*bin/)*morl ")


def commands():
    """Every command line with morl in the shell blocks of the documents, as (where, words)."""
    found = []
    for path in TEXTS:
        for start, block in blocks(path, "bash"):
            for i, line in enumerate(block.splitlines()):
                for part in re.split(r"&&|;", line.partition(" #")[0]):
                    part = COMMAND.sub("morl ", part.strip().removeprefix("do "))
                    if part.startswith("morl "):
                        found.append((f"{path.relative_to(ROOT)}:{start + i}", shlex.split(part)[1:]))
    return found


class Parsed(Exception):
    """The command line was understood."""


def refuse_to_train(agent=None, settings=None, config=None, *, resume=None, **kwargs):
    raise Parsed(settings, config)


COMMANDS = commands()


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_commands_are_understood(where, words, monkeypatch, tmp_path):
    """Parse every command; nothing is trained or read."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "own_agent")
    importlib.import_module("reinforce")  # as if it were installed
    command, *args = words
    if command.startswith("-"):
        assert cli.main(words) == 0
        return
    assert command in cli.commands()
    if args in ([], ["--help"]) and command in ("envs", "agents"):
        assert cli.main(words) == 0
        return
    module = importlib.import_module(f"morl.cli.{command.replace('-', '_')}")
    if command == "tune":
        if "--show-space" in args:
            assert cli.main(words) == 0
            return
        pytest.importorskip("optuna")
        monkeypatch.setattr(morl.tune.Study, "run", refuse_to_train)
        monkeypatch.setattr(morl.tune.Study, "resume", refuse_to_train)
        with pytest.raises(Parsed):
            module.main(args)
        return
    if command == "train":
        if "--config" in args:  # of a study or a run there is not
            monkeypatch.chdir(tmp_path)
            settings = tmp_path / args[args.index("--config") + 1]
            settings.parent.mkdir()
            settings.write_text("clip_eps: 0.3\n")

        monkeypatch.setattr(morl.training.loop, "train", refuse_to_train)
        if "--help" in args:
            with pytest.raises(SystemExit), redirect_stdout(io.StringIO()):
                module.main(args)
            return
        with pytest.raises(Parsed) as parsed:
            module.main(args)
        if parsed.value.args[0] is not None:
            check_settings(parsed.value.args[0])
        return
    parse = module.parse

    def only_parse(*args, **kwargs):
        raise Parsed(parse(*args, **kwargs))

    monkeypatch.setattr(module, "parse", only_parse)
    with pytest.raises(Parsed):
        module.main(args)


def check_settings(settings):
    """The environment exists, has these keywords and as many objectives as reference values."""
    if ":" in settings.env or settings.env in ("home-battery-v0",):  # the examples have tests of their own
        return
    spec = find(settings.env, getattr(settings, "backend", None))
    if isinstance(spec, morl.EnvSpec):
        check_keywords(spec.id, load(spec.entry_point), settings.env_kwargs)
        if settings.reference_point is not None:
            check_reference_point(settings.reference_point, len(spec.objectives))


def test_commands_in_prose_exist():
    text = "".join(path.read_text() for path in TEXTS)
    assert set(re.findall(r"`morl ([a-z][\w-]*)", text)) <= set(cli.commands()) | {"COMMAND"}


def test_scripts_and_extras_exist():
    text = "".join(path.read_text() for path in TEXTS)
    scripts = set(re.findall(r"python (benchmarks/[\w/]+\.py)", text))
    assert scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    named = {name for extras in re.findall(r'install -\w* ?-?e? ?"?\.\[([\w,]+)\]', text) for name in extras.split(",")}
    assert named
    assert named <= set(EXTRAS)
    assert set(re.findall(r"^\| `(\w+)` \|", (DOCS / "install.md").read_text(), re.M)) == set(EXTRAS)


def test_a_table_of_a_kept_result_is_that_of_its_data(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "checkouts"))
    before_after = importlib.import_module("before_after")
    results = json.loads((ROOT / "benchmarks" / "results" / "before_after.json").read_text())["results"]
    assert before_after.table(results) in (DOCS / "benchmarks" / "how-fast.md").read_text()
    assert set(results) <= set(before_after.MEASUREMENTS)


# --- Python -----------------------------------------------------------------------------------------------------------

SMALL = {"evaluations": 1, "eval_episodes": 2, "final_episodes": 2}


def trained_gmorl():
    from morl.agents.gmorl import GMORLConfig

    config = GMORLConfig(
        num_envs=8, batch_size=32, replay_capacity=640, learning_starts=160, hidden=(8,), num_preferences=3
    )
    return morl.train("gmorl", morl.TrainSettings(env="deep-sea-treasure-v0", steps=800, **SMALL), config)


def trained_capql():
    from morl.agents.capql import CAPQLConfig

    config = CAPQLConfig(batch_size=16, replay_capacity=640, learning_starts=96, hidden=(8,), num_preferences=3)
    return morl.train("capql", morl.TrainSettings(env="deep-sea-treasure-v0", steps=160, **SMALL), config)


def trained_d3po():
    from morl.agents.d3po import D3POConfig

    config = D3POConfig(num_envs=4, rollout_steps=16, minibatches=2, epochs=1, hidden=(8,), num_preferences=3)
    return morl.train("d3po", morl.TrainSettings(env="deep-sea-treasure-v0", steps=128, **SMALL), config)


def trained_gpi_ls():
    from morl.agents.gpi_ls import GPILSConfig

    config = GPILSConfig(
        num_envs=8, batch_size=32, replay_capacity=640, learning_starts=160, hidden=(8,), num_preferences=3
    )
    return morl.train("gpi-ls", morl.TrainSettings(env="deep-sea-treasure-v0", steps=800, **SMALL), config)


def trained_mogfn():
    from morl.agents.mogfn import MOGFNConfig

    settings = morl.TrainSettings(env="hypergrid-v0", env_kwargs={"side": 8}, steps=1280, **SMALL)
    return morl.train("mogfn", settings, MOGFNConfig(hidden=(16,), num_preferences=3))


def written_run():
    return write_run(Path("written"), ("treasure", "time"), {0: points(0, 12, 2)})


# Names that blocks of a page use and do not define.
BEFORE = {
    "capql.md": lambda: {"run": trained_capql(), "obs": [0, 0], "morl": morl},
    "d3po.md": lambda: {"run": trained_d3po(), "obs": [0, 0], "morl": morl},
    "gmorl.md": lambda: {"run": trained_gmorl(), "obs": [0, 0], "morl": morl},
    "gpi-ls.md": lambda: {"run": trained_gpi_ls(), "obs": [0, 0], "morl": morl},
    "prefer.md": lambda: {"run": written_run()},
    "mogfn.md": lambda: {"run": trained_mogfn(), "obs": [0, 0], "morl": morl, "jax": importlib.import_module("jax")},
}
WITH_PYTHON = [path for path in PAGES if blocks(path, "python")]


@pytest.mark.filterwarnings("ignore:.*precision lowered by casting:UserWarning")  # of MO-Gymnasium's environments
@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda path: str(path.relative_to(DOCS)))
def test_python_runs(page, tmp_path, monkeypatch, capsys):
    """Blocks of a page run one after another, in one namespace; what `>>>` shows is what comes out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setattr(sys, "path", [*sys.path])
    names = BEFORE.get(page.name, dict)()
    for line, block in blocks(page, "python"):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, page.name, str(page), line)
            report = io.StringIO()
            doctest.DocTestRunner().run(test, out=report.write, clear_globs=False)
            assert not report.getvalue()
            names.update(test.globs)
        else:
            exec(compile("\n" * (line - 1) + shortened(block), str(page), "exec"), names)


# --- Links and notebooks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_links_to_files_exist(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


LONG = {"sequences"}  # its MOGFN code also runs in mogfn.md
NOTEBOOKS = [
    pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LONG), id=path.stem)
    for path in sorted((DOCS / "notebooks").glob("*.ipynb"))
]


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_notebooks_run(path, monkeypatch):
    """Run each notebook in a kernel of its own; it is stored with its output."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs or cell.execution_count for cell in code)
    for cell in code:
        cell.source = shortened(cell.source)
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
