"""``morl tune AGENT``."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.live import Live
from rich.table import Table

from morl.cli.compare import interval
from morl.cli.running.interrupts import stop_on_interrupt
from morl.cli.table import reflowed, table
from morl.cli.train import STOPPED, parse_all
from morl.errors import UserError
from morl.guard import made_settings
from morl.registry import agent_spec, agent_specs, load_settings
from morl.search_space import Space, label
from morl.tune.journal import Trial
from morl.tune.settings import TRAINING, StudySettings
from morl.words import counted

COMMAND = (20, "AGENT [flags]", "search for hyper-parameters, and compare the best with the defaults on other seeds")
HELP = """usage: morl tune AGENT [flags]
       morl tune --show-space AGENT
       morl tune --resume STUDY [--num-samples N] [--address ADDRESS]

Search for an agent's settings on an environment with Ray Tune, scored by the front that they lead to; then compare the
best of them with the defaults on seeds that the search has not seen. Leaves a study directory with results.csv,
best.yaml (for morl train AGENT --config), held_out.csv, pictures, and every trial's run. `morl tune AGENT --help` lists
every setting; an agent's own that are given as flags are not searched.

agents: {agents}
an agent of your own, in a module of the working directory for example: module:agent
"""
STOPPING = "trials are writing checkpoints"
SHOWN = 20  # trials in the table


@dataclass(frozen=True)
class _Resume:
    """Resume a study that was stopped or killed, or add trials to a finished one."""

    resume: Annotated[Path, tyro.conf.arg(metavar="STUDY")]
    """Study directory."""
    num_samples: int | None = None
    """Total number of trials; by default as before."""
    max_concurrent: int | None = None
    """Number of trials at a time; by default as before."""
    address: str | None = None
    """Address of a running Ray cluster; by default as before."""
    dashboard: bool = False
    """Serve Ray's dashboard, to this machine only."""


@dataclass(frozen=True)
class _Show:
    """Print the search space of an agent."""

    show_space: Annotated[str, tyro.conf.arg(metavar="AGENT")]
    """Registered agent, or module:agent."""


def main(args: Sequence[str]) -> int:
    """Search; return 0 when finished, 3 when stopped early by SIGINT or SIGTERM, to be resumed."""
    if not args or args[0] in ("-h", "--help"):
        print(reflowed(HELP.format(agents=", ".join(agent_specs()))), end="")
        return 0
    from morl.parsing import parse as parse_flags

    name, *flags = args
    if name.partition("=")[0] == "--show-space":
        print(_described(parse_flags(_Show, args, prog="morl tune").show_space))
        return 0
    from morl.tune import Study

    if name.partition("=")[0] == "--resume":
        given = parse_flags(_Resume, args, prog="morl tune")
        changes = {n: v for n, v in dataclasses.asdict(given).items() if n != "resume" and v not in (None, False)}
        study = Study.resume(given.resume, **changes)
    elif name.startswith("-"):
        raise UserError(f"the agent comes first: morl tune AGENT [flags]; agents: {', '.join(agent_specs())}")
    elif any(flag.partition("=")[0] == "--resume" for flag in flags):
        raise UserError("a study is resumed with its own agent and settings: morl tune --resume STUDY")
    else:
        study = _study(name, flags)
    with _Terminal(study.settings.num_samples) as reporter, stop_on_interrupt(STOPPING) as stopped:
        result = study.run(reporter, should_stop=lambda: bool(stopped))
    print(summary(result))
    if result.finished:
        return 0
    print(f"stopped early; to go on: morl tune --resume {shlex.quote(str(result.path))}")
    return STOPPED


def _study(agent: str, flags: Sequence[str]) -> Any:
    """Return a study from flags; settings of the agent given as flags are fixed."""
    from morl.parsing import field_names
    from morl.renaming import current_flags
    from morl.tune import Study, worker

    for i, flag in enumerate(flags):  # modules register what other flags name
        if flag.partition("=")[0] == "--modules":
            values = [flag.partition("=")[2]] if "=" in flag else []
            for value in flags[i + 1 :]:
                if value.startswith("-"):
                    break
                values.append(value)
            if (here := str(Path.cwd())) not in sys.path:
                sys.path.append(here)
            worker.import_modules(tuple(values))
    spec = agent_spec(agent)
    config_class, settings_class = load_settings(spec.config), load_settings(spec.settings)
    defaults = {name: value for name, value in TRAINING.items() if name in field_names(settings_class)}
    flags = current_flags(flags, settings_class, config_class)
    parsed = parse_all(
        agent, config_class, flags, prog=f"morl tune {agent}", also={"study": StudySettings}, defaults=defaults
    )
    study = parsed.also["study"]
    given = {flag.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_") for flag in flags}
    searched = spec.declared_space()
    return Study(
        agent,
        parsed.training,
        parsed.config,
        dataclasses.replace(study, space=(*(f"{n}=" for n in searched if n in given), *study.space)),
    )


def _described(agent: str) -> str:
    """Return the search space as a table."""
    spec = agent_spec(agent)
    space: Space = spec.declared_space()
    config = made_settings(load_settings(spec.config))
    rows = [
        [name, label(getattr(config, name)), str(parameter), "yes" if parameter.live else ""]
        for name, parameter in space.items()
    ]
    lines = [table(["setting", "default", "searched", "live"], rows, right=[])]
    lines += [
        "",
        "live: no array's shape depends on it; pbt searches these alone, and changes them while a training goes on.",
        "to change it: --space 'NAME={log: [1e-4, 1e-2]}' (real, log, int, int_log, choice), NAME=VALUE to fix, or",
        "--space-file FILE.yaml of the same, by name.",
    ]
    return "\n".join(lines)


class _Terminal:
    """Reporter with a live table on a terminal; elsewhere it prints a line for each trial that ends."""

    def __init__(self, number: int) -> None:
        self.console = Console(stderr=True, soft_wrap=True)
        self._number, self._told = number, set[int]()
        self._live = Live(console=self.console, auto_refresh=False, transient=False)
        self._last = 0.0

    def __enter__(self) -> _Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def start(self, headline: str, path: Path) -> None:
        """Print the headline and the study directory."""
        self.note(headline)
        self.note(f"study directory: {path}")
        if self.console.is_terminal:
            self._live.start()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        if self._live.is_started:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.console.file, flush=True)

    def update(self, trials: list[Trial], active: dict[int, dict[str, float]]) -> None:
        """Draw the table again, at most a few times a second."""
        if not self.console.is_terminal:
            for trial in trials:
                if trial.state != "started" and trial.number not in self._told:
                    if not self._told:
                        self.note(_line("done", COLUMNS[:-1]))
                    self._told.add(trial.number)
                    self.note(_line(f"{len(self._told)}/{self._number}", _row(trial, active)[:-1]))
            return
        if time.monotonic() - self._last > 0.25:
            self._last = time.monotonic()
            self._live.update(_live_table(trials, active, self._number), refresh=True)


COLUMNS = ("trial", "state", "score", "HV", "EU", "steps", "seconds", "settings")
WIDTHS = (5, 8, 9, 9, 9, 11, 7)  # of all but the settings, where they are printed line by line


def _line(done: str, cells: Sequence[str]) -> str:
    """Return a trial's cells, or their names, without the settings; columns are aligned."""
    pairs = zip(COLUMNS, cells, WIDTHS, strict=False)
    aligned = [cell.ljust(width) if name == "state" else cell.rjust(width) for name, cell, width in pairs]
    return " ".join([done.rjust(9), *aligned])


def _row(trial: Trial, active: dict[int, dict[str, float]]) -> list[str]:
    values = active.get(trial.number) or trial.result

    def number(name: str, form: str) -> str:
        value = values.get(name, math.nan)
        return "" if math.isnan(value) else format(value, form)

    state = trial.state if trial.state != "started" else "running" if trial.number in active else "waiting"
    score = trial.score
    shown = [
        "" if math.isnan(score) else f"{score:.4g}",
        number("hypervolume", ".5g"),
        number("expected_utility", ".4g"),
        number("steps", ",.0f"),
        number("seconds", ".0f"),
    ]
    params = " ".join(f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={label(v)}" for n, v in trial.params.items())
    return [str(trial.number), state, *shown, params]


def _live_table(trials: list[Trial], active: dict[int, dict[str, float]], number: int) -> Table:
    """Return a table of the running trials, the best and the latest."""
    running = [trial for trial in trials if trial.number in active]
    ended = [trial for trial in trials if trial.state != "started"]
    finished = sorted((t for t in ended if t.state == "finished"), key=lambda t: -t.score)
    shown: dict[int, Trial] = {}
    for trial in [*running, *finished[:5], *reversed(ended)]:
        if len(shown) < SHOWN:
            shown.setdefault(trial.number, trial)
    counts = ", ".join(f"{sum(t.state == s for t in ended)} {s}" for s in ("finished", "pruned", "failed"))
    drawn = Table(title=f"{len(ended)} of {counted(number, 'trial')}: {counts}", title_justify="left", expand=False)
    for column in COLUMNS:
        right = column not in ("state", "settings")
        drawn.add_column(column, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    best = finished[0].number if finished else -1
    for trial in shown.values():
        row = [cell.replace("[", r"\[") for cell in _row(trial, active)]
        drawn.add_row(*row, style="bold" if trial.number == best else "dim" if trial.state == "pruned" else "")
    return drawn


def summary(result: Any) -> str:
    """Return the closing lines: the best settings, how certain they are, and the files to look at."""
    trials = result.trials.values()
    counts = ", ".join(f"{n} {s}" for s in ("finished", "pruned", "failed") if (n := sum(t.state == s for t in trials)))
    lines = [f"{counted(len(result.trials), 'trial')}: {counts or 'none has ended'}"]
    if result.best is None:
        return lines[0]
    best = result.best
    error = best.result.get("stderr", 0.0)
    lines.append(f"best: trial {best.number}, score {best.score:.5g} (standard error over its seeds {error:.2g})")
    lines += [f"  {name}: {label(value)}" for name, value in best.params.items()]
    if (held := result.held_out) is not None:
        seeds = len(held.seeds)
        lines += [
            f"on {counted(seeds, 'seed')} that the search has not seen: best {interval(held.mean_best)}, "
            f"defaults {interval(held.mean_default)}",
            f"difference {interval(held.difference)}"
            + ("" if math.isnan(held.p_value) else f", paired permutation test p = {held.p_value:.3g}"),
        ]
        if seeds < 5:
            few = counted(seeds, "seed")
            lines.append(f"note: of {few} an interval is too narrow; 5 or more tell how sure the numbers are")
    if result.path is not None:
        config = shlex.quote(str(result.path / "best.yaml"))
        lines += [f"results: {result.path / 'results.csv'}, pictures beside it", f"to train with it: --config {config}"]
    return "\n".join(lines)
