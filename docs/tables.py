"""Sphinx directives that write tables from the registry and from stored results, so that no page repeats them."""

from __future__ import annotations

import contextlib
import inspect
import json
import statistics
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import morl
from morl.errors import MissingExtraError, UserError
from morl.registry import AgentSpec, EnvSpec, agent_specs, env_specs, load
from morl.yardsticks.fronts import known_front
from morl.yardsticks.protocol import vector


def chosen(patterns: str) -> list[EnvSpec]:
    """Return the registered environments whose ids fit one of the patterns, in the order of their ids.

    Raises:
        ValueError: a pattern that no environment fits.
    """
    specs = env_specs(plug_ins=False)
    for pattern in patterns.split():
        if not any(fnmatch(id, pattern) for id in specs):
            raise ValueError(f"no registered environment is called {pattern!r}")
    return [spec for id, spec in specs.items() if any(fnmatch(id, pattern) for pattern in patterns.split())]


def numbers(values: Iterable[float]) -> str:
    """Return numbers as the command line takes them."""
    return " ".join(f"{x:g}" for x in values)


def table(rows: Iterable[Iterable[str]], header: Iterable[str]) -> str:
    """Return a table in Markdown."""
    lines = [list(header)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def properties(spec: EnvSpec) -> list[tuple[str, str]]:
    """Return (name, text) of each property in the registry and, where it can be made, of the environment itself."""
    about = [
        ("objectives, all maximised", ", ".join(f"{o.name} ({o.unit})" if o.unit else o.name for o in spec.objectives)),
        ("reference point", numbers(spec.reference_point)),
        ("discount of the front", f"{spec.gamma:g}"),
        ("runs in", _backend(spec)),
    ]
    tight = tight_reference_of(spec)
    if tight:
        about.append(("tight reference point", tight))
    if spec.extra:
        about.append(("extra", f"`{spec.extra}`"))
    if spec.alive_bonus:
        about.append(("bonus for being alive", f"{spec.alive_bonus.value:g} a step in each objective"))
    if spec.max_episode_steps:
        about.append(("time limit", f"{spec.max_episode_steps} steps"))
    if spec.entry_point is None or spec.prefer_host:  # nothing to look at, or an extra that is meant for accelerators
        return about
    cls = load(spec.entry_point)
    keywords = [_keyword(p, spec) for p in inspect.signature(cls).parameters.values() if p.name != "self"]
    if keywords:
        about.append(("keywords (`--env-kwargs`)", ", ".join(keywords)))
    try:
        env: Any = morl.make(spec.id, backend="jax")
    except MissingExtraError:
        return about
    about[4:4] = [("observation", f"`{_short(env.observation_space)}`"), ("action", f"`{_short(env.action_space)}`")]
    exact = [name for name in ("true_front", "true_coverage_set") if hasattr(env, name)]
    if exact:
        about.append(("exact", ", ".join(f"`{name}(gamma)`" for name in exact)))
    return about


def tight_reference_of(spec: EnvSpec) -> str:
    """Return the tight reference point at the registered discount and what it is of; empty where no front is known."""
    env: Any = None
    with contextlib.suppress(UserError):
        env = morl.make(spec.id)
    front = known_front(env, spec.gamma, len(spec.objectives), spec.id)
    return "" if front is None else f"{vector(front.tight_reference)}, of {front.phrase}"


def _backend(spec: EnvSpec) -> str:
    if spec.prefer_host:
        return "Python, on the host; with `--backend jax` in JAX"
    return "JAX" if spec.backend == "jax" else "Python, on the host"


def _keyword(parameter: inspect.Parameter, spec: EnvSpec) -> str:
    default = spec.kwargs.get(parameter.name, parameter.default)
    text = "" if default is inspect.Parameter.empty else f" = {default!r}"
    return f"`{parameter.name}{text}`"


def _short(space: Any) -> str:
    """Return a space in one line, without bounds that differ between entries."""
    if not hasattr(space, "low"):
        return str(space)
    low, high = space.low.min(), space.high.max()
    bounds = f"{low:g} to {high:g}" if (space.low == low).all() and (space.high == high).all() else "bounds differ"
    return f"Box({bounds}, {space.shape}, {space.dtype})"


class Environments(SphinxDirective):
    """``{environments} PATTERN...``: a section for each environment that fits, with its properties."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        parts: list[str] = []
        described: dict[str, str] = {}  # class -> the section that has its description
        for spec in chosen(self.arguments[0]):
            summary = spec.summary[0].upper() + spec.summary[1:]
            parts += [f"({spec.id})=", f"## {spec.id}", "", f"{summary}.", "", table(properties(spec), ("", "")), ""]
            if spec.entry_point and spec.entry_point in described:
                first = described[spec.entry_point]
                parts += [f"The class is that of [{first}](#{first}), where it is described.", ""]
            elif spec.entry_point:
                described[spec.entry_point] = spec.id
                where = spec.entry_point.replace(":", ".")
                parts += ["```{eval-rst}", f".. autoclass:: {where}", "   :no-index:", "```", ""]
        return self.parse_text_to_nodes("\n".join(parts), allow_section_headings=True)


class EnvironmentList(SphinxDirective):
    """``{environment-list}``: all registered environments in one table, each linked to its section."""

    def run(self) -> list[nodes.Node]:
        rows = [
            (f"[{spec.id}](#{spec.id})", _backend(spec).split(",")[0], ", ".join(spec.objective_names), spec.summary)
            for spec in env_specs(plug_ins=False).values()
        ]
        text = table(rows, ("environment", "runs in", "objectives", "what it is"))
        return self.parse_text_to_nodes(text)


class AgentList(SphinxDirective):
    """``{agent-list}``: all registered agents in one table, each linked to its page."""

    def run(self) -> list[nodes.Node]:
        rows = [(f"[{spec.name}]({page(spec)})", spec.summary) for spec in agent_specs().values()]
        return self.parse_text_to_nodes(table(rows, ("agent", "what it is")))


RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def results(name: str) -> str:
    """Return the table of stored fronts, with its caption, in Markdown.

    Args:
        name: of a file of ``benchmarks/results``, as ``benchmarks/conditioned.py`` writes it.
    """
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return f"No results are stored yet; `python benchmarks/{name}.py` measures them."
    stored = json.loads(file.read_text())
    rows = [_result(row) for row in stored.values()]
    volumes = ("hypervolume, median (range)", "share of the known front's", "doing nothing")
    header = ("agent", "case", *volumes, "policies", "wall-clock")
    days = sorted({row["date"][:10] for row in stored.values()})
    cores = sorted({row["machine"]["cores"] for row in stored.values()})
    seeds = sorted({run["seed"] for row in stored.values() for run in row["runs"]})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    caption = (
        f"`python benchmarks/{name}.py`, seeds {', '.join(map(str, seeds))}, on {numbers(cores)} CPU cores beside "
        f"other work, {when}. Wall-clock is that of the whole command for one seed, the median."
    )
    return f"{caption}\n\n{table(rows, header)}"


def _result(row: dict[str, Any]) -> tuple[str, ...]:
    volumes = [run["hypervolume"] for run in row["runs"]]
    policies = [run["policies"] for run in row["runs"]]
    middle = statistics.median(volumes)
    known = row["known"]
    return (
        row["agent"],
        row["case"],
        f"{middle:.5g} ({min(volumes):.5g} to {max(volumes):.5g})",
        f"{middle / known:.3f} of {known:.6g}" if known else "not known",
        f"{row['doing_nothing']:.4g}",
        f"{min(policies)} to {max(policies)}",
        f"{statistics.median(run['seconds'] for run in row['runs']):.0f} s",
    )


class ResultsTable(SphinxDirective):
    """``{results-table} NAME``: the fronts stored in ``benchmarks/results/NAME.json``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / f"{self.arguments[0]}.json"))
        return self.parse_text_to_nodes(results(self.arguments[0]))


def preference_results() -> str:
    """Return the table of ``python benchmarks/scalarisation prefer``, with its caption, in Markdown."""
    file = RESULTS / "prefer.json"
    if not file.exists():
        return "No results are stored yet; `python benchmarks/scalarisation prefer` measures them."
    stored = json.loads(file.read_text())["prefer"]
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in stored.values():
        front = f"{row['front']} ({row['policies']} policies, {row['objectives']} objectives)"
        groups.setdefault((front, row["users"]), {})[row["rule"]] = row
    rules = list(dict.fromkeys(row["rule"] for row in stored.values()))
    rows = []
    for (front, kind), found in groups.items():
        medians = [f"{found[rule]['median']:g}" if rule in found else "" for rule in rules]
        shares = [f"{found[rule]['close_after_8']:.0%}" if rule in found else "" for rule in rules]
        rows.append((front, kind, *medians, *shares))
    header = ("front", "users", *(f"questions, {rule}" for rule in rules), *(f"after 8, {rule}" for rule in rules))
    first = next(iter(stored.values()))
    spent = sorted(row["cpu_ms_a_question"] for row in stored.values())
    caption = (
        f"`python benchmarks/scalarisation prefer`, {first['number']} users of each kind (seeds 0 to "
        f"{first['number'] - 1}), on known fronts, {first['date'][:10]}. Questions: the median until the named policy "
        f"is within 2 % of the best; after 8: share of users for whom it is then. {spent[0]:.0f} to {spent[-1]:.0f} ms "
        f"of CPU a question."
    )
    return f"{caption}\n\n{table(rows, header)}"


class PreferenceTable(SphinxDirective):
    """``{prefer-table}``: questions until simulated users are served, of ``benchmarks/results/prefer.json``."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / "prefer.json"))
        return self.parse_text_to_nodes(preference_results())


def logs() -> str:
    """Return the table of how often intervals of logs hold the true hypervolume, with its caption, in Markdown."""
    file = RESULTS / "from_log.json"
    if not file.exists():
        return "No results are stored yet; `python benchmarks/scalarisation logs` measures them."
    stored = json.loads(file.read_text())["logs"]
    rows = [_log_row(case, row, name) for case, row in stored.items() for name in row["estimators"]]
    volumes = ("bias", "deviation", "by the bootstrap", "median width")
    held = ("corrected percentiles", "plain percentiles", "basic", "intervals of returns that hold")
    header = ("case", "estimator", "logs", *held, "true hypervolume", *volumes, "effective, least and median")
    days = sorted({row["date"][:10] for row in stored.values()})
    cores = numbers(sorted({row["machine"]["cores"] for row in stored.values()}))
    caption = (
        f"`python benchmarks/scalarisation logs`, on {cores} CPU cores beside other work, "
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}. "
        "Logs of which a policy has fewer than 50 effective episodes are left out."
    )
    return f"{caption}\n\n{table(rows, header)}"


def _log_row(case: str, row: dict[str, Any], name: str) -> tuple[str, ...]:
    found, volume = row["estimators"][name], row["truth"]["hypervolume"]
    judged = row["logs"] - row["not_judged"]
    return (
        case,
        name,
        str(judged),
        *(f"{found['held'][kind]} of {judged}" for kind in ("corrected", "percentile", "basic")),
        f"{found['returns_held']:.0%}",
        f"{volume:.5g}",
        *(f"{found[key]:.3g}" for key in ("bias", "deviation", "bootstrap_deviation", "width")),
        " and ".join(f"{x:.0f}" for x in row["effective"]),
    )


class LogTable(SphinxDirective):
    """``{log-table}``: the coverage of intervals of logs stored in ``benchmarks/results/from_log.json``."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / "from_log.json"))
        return self.parse_text_to_nodes(logs())


def suite_speed() -> str:
    """Return the table of the offloading suite's speed, with its caption, in Markdown."""
    file = RESULTS / "mec_suite_speed.json"
    if not file.exists():
        return "No speeds are stored yet; `python benchmarks/mec_suite speed` measures them."
    stored = json.loads(file.read_text())
    rows = [
        (
            id,
            *(f"{row['median'][name]:,.0f}" for name in ("ours", "plain")),
            *(f"{row['times'][kind]:.1f}" for kind in ("median", "best")),
            *(f"{row['cpu'][name]:.1f}" for name in ("ours", "plain")),
            f"{row['compiled_in']:.1f} s",
        )
        for id, row in stored.items()
    ]
    times = ("times, by medians", "times, by the best", "CPU µs a step", "plain Python")
    header = ("scenario", "steps/s, median", "plain Python", *times, "compiled in")
    loads = [row["load"] for row in stored.values()]
    batches, cores = (numbers(sorted({row[name] for row in stored.values()})) for name in ("batch", "cores"))
    caption = (
        f"`python benchmarks/mec_suite speed`: random actions, restarts included, batches of {batches} on {cores} CPU "
        f"cores with a load of {min(loads):g} to {max(loads):g}, in turns with the simulator of the tests, which has "
        f"one core. CPU is that of all threads, and depends less on what runs beside."
    )
    return f"{caption}\n\n{table(rows, header)}"


def suite_fronts() -> str:
    """Return the table of the offloading suite's fronts, with its caption, in Markdown."""
    file = RESULTS / "mec_suite_fronts.json"
    if not file.exists():
        return "No fronts are stored yet; `python benchmarks/mec_suite fronts` finds them."
    stored = json.loads(file.read_text())
    names = list(dict.fromkeys(name for row in stored.values() for name in row["fronts"]))
    rows = []
    for id, row in stored.items():
        volumes = {name: front["hypervolume"] for name, front in row["fronts"].items()}
        shares = [f"{volumes[name] / volumes['greedy']:.3f}" if name in volumes else "" for name in names]
        rows.append((id, numbers(row["reference_point"]), f"{volumes['greedy']:.4g}", *shares))
    commands = [front["command"] for row in stored.values() for front in row["fronts"].values() if "command" in front]
    trained = sorted({command.replace(id, "ID") for id in stored for command in commands if id in command})
    one = next(iter(stored.values()))
    made = f", agents by {' and '.join(f'`{command}`' for command in trained)}" if trained else ""
    caption = (
        f"`python benchmarks/mec_suite fronts`: hypervolume at the registered reference point, by that of `greedy`; "
        f"{one['episodes']} episodes a policy, the same for all, seed {one['seed']}{made}, {one['date']}."
    )
    picture = (
        "\n\n![Fronts of the suite](../mec-suite.png)" if (RESULTS.parents[1] / "docs/mec-suite.png").exists() else ""
    )
    return f"{caption}\n\n{table(rows, ('scenario', 'reference point', 'of greedy', *names))}{picture}"


class SuiteTable(SphinxDirective):
    """``{mec-suite-table} fronts|speed``: what is stored of the offloading suite in ``benchmarks/results``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / f"mec_suite_{self.arguments[0]}.json"))
        return self.parse_text_to_nodes({"fronts": suite_fronts, "speed": suite_speed}[self.arguments[0]]())


def page(spec: AgentSpec) -> str:
    """File of an agent's page, from the folder of the list."""
    return f"{spec.name}.md"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives; Sphinx calls this."""
    app.add_directive("environments", Environments)
    app.add_directive("environment-list", EnvironmentList)
    app.add_directive("agent-list", AgentList)
    app.add_directive("results-table", ResultsTable)
    app.add_directive("prefer-table", PreferenceTable)
    app.add_directive("log-table", LogTable)
    app.add_directive("mec-suite-table", SuiteTable)
    return {"version": "1", "parallel_read_safe": True}
