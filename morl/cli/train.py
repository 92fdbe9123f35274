"""``morl train AGENT``."""

from __future__ import annotations

import contextlib
import keyword
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import tyro

from morl.cli.running.interrupts import stop_on_interrupt
from morl.cli.table import reflowed
from morl.errors import UserError
from morl.registry import agent_spec, agent_specs, load_settings
from morl.words import counted

COMMAND = (10, "AGENT [flags]", "train an agent and leave a run directory with its Pareto front")
STOPPED = 3
STOPPING = "a checkpoint and the front of this moment are being written"

HELP = """usage: morl train AGENT [flags]
       morl train --resume RUN [--steps N]

Train an agent on an environment; leaves a run directory with config.yaml, metrics.csv, TensorBoard events, front.csv,
front.png and checkpoints. `morl train AGENT --help` lists every setting. With --resume, go on with a training that was
stopped or killed, from its last checkpoint and with its own settings; with --steps also with one that has finished.

agents: {agents}
an agent of your own, in a module of the working directory for example: module:agent
"""


@dataclass(frozen=True)
class _File:
    """Sources of settings besides the flags."""

    config: Path | None = None
    """YAML file of settings by name, such as a run's config.yaml; flags override it."""
    protocol: Annotated[str | None, tyro.conf.arg(aliases=["--preset"])] = None
    """Named settings of the agent for the environment: the published ones (paper), for gmorl also some for late rewards
    (far), for d3po, capql and gpi-ls those of their benchmark (benchmark). Flags override them."""


@dataclass(frozen=True)
class _Output:
    """Output of the command."""

    json: bool = False
    """Write the progress and the end as lines of JSON to standard output, for other programs."""


@dataclass(frozen=True)
class _Resume:
    """Resume a training that was stopped or killed, from its last checkpoint and with its own settings."""

    resume: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    steps: int | None = None
    """Environment steps of one seed that the run shall have done in all, more than it was made for."""
    json: bool = False
    """Write the progress and the end as lines of JSON to standard output, for other programs."""


def main(args: Sequence[str]) -> int:
    """Train; return 0 when finished, 3 when stopped early by SIGINT or SIGTERM.

    A stopped training leaves the front of that moment and a checkpoint to resume from.
    """
    if not args or args[0] in ("-h", "--help"):
        print(reflowed(HELP.format(agents=", ".join(agent_specs()))), end="")
        return 0
    name, *flags = args
    arguments: dict[str, Any]
    if name.partition("=")[0] == "--resume":
        from morl.parsing import parse as parse_flags

        given = parse_flags(_Resume, args, prog="morl train")
        arguments, as_json = {"resume": given.resume}, given.json
        if given.steps is not None:
            arguments["steps"] = given.steps
    elif name.startswith("-"):
        raise UserError(f"the agent comes first: morl train AGENT [flags]; agents: {', '.join(agent_specs())}")
    elif any(flag.partition("=")[0] == "--resume" for flag in flags):
        raise UserError("a run is resumed with its own agent and settings: morl train --resume RUN")
    else:
        config_class = load_settings(agent_spec(name).config)
        parsed = parse_all(name, config_class, flags, prog=f"morl train {name}", also={"output": _Output})
        arguments = {"agent": name, "settings": parsed.training, "config": parsed.config}
        as_json = parsed.also["output"].json

    from morl.cli.running.json_lines import JsonReporter, end, write
    from morl.training.loop import train
    from morl.training.terminal import TerminalReporter

    with JsonReporter() if as_json else TerminalReporter() as reporter, _stops(reporter) as stopped:
        run = train(**arguments, reporter=reporter, should_stop=lambda: bool(stopped))
    if as_json:
        write(end(run))
        return 0 if run.finished else STOPPED
    print(summary(run))
    if run.finished:
        return 0
    print(f"stopped early; to go on: {_resume(run.path)}")
    return STOPPED


def _stops(reporter: Any) -> contextlib.AbstractContextManager[list[int]]:
    """Catch interruptions of a training; before the first updates, which are compiled first, nothing is lost."""

    def leave() -> tuple[str, int] | None:
        if reporter.updated:
            return None
        return f"stopped before the first update; to go on: {_resume(reporter.path)}", STOPPED

    return stop_on_interrupt(STOPPING, begun=lambda: reporter.path is not None, leave=leave)


def _resume(path: Path) -> str:
    return f"morl train --resume {shlex.quote(str(path))}"


def parse(agent: str, config_class: type[Any], flags: Sequence[str]) -> tuple[Any, Any]:
    """Return the settings of the run and of the agent: flags over a YAML file or a protocol over defaults."""
    parsed = parse_all(agent, config_class, flags, prog=f"morl train {agent}")
    return parsed.training, parsed.config


@dataclass(frozen=True)
class Parsed:
    """Settings read from flags.

    Attributes:
        training: those of the run.
        config: the agent's own.
        also: the other groups that were asked for, by name.
    """

    training: Any
    config: Any
    also: Mapping[str, Any]


def parse_all(
    agent: str,
    config_class: type[Any],
    flags: Sequence[str],
    *,
    prog: str,
    also: Mapping[str, type[Any]] = MappingProxyType({}),
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Parsed:
    """Read settings as :func:`parse` does, and those of other groups of flags.

    Args:
        agent: a registered agent, or ``module:name``.
        config_class: dataclass of its settings.
        flags: to read.
        prog: command that they are given to, for help and errors.
        also: more dataclasses of flags, by a name for the group.
        defaults: settings of the training whose defaults differ here.
    """
    from morl.loading import split_settings
    from morl.parsing import field_names, from_mapping
    from morl.parsing import parse as parse_flags
    from morl.renaming import current_flags
    from morl.runs.directory import read_settings

    spec = agent_spec(agent)
    settings_class: type[Any] = load_settings(spec.settings)
    groups = {"file": _File, **also, "training": settings_class}
    own_name = re.sub(r"\W", "_", spec.name)  # titles the agent's group in --help
    if own_name in groups or keyword.iskeyword(own_name) or not own_name.isidentifier():
        own_name = f"agent_{own_name}"
    options = make_dataclass("Options", [*groups.items(), (own_name, config_class)])

    def read(training: Mapping[str, Any], own: Mapping[str, Any], source: str) -> Any:
        default = options(
            file=_File(path),
            **{name: cls() for name, cls in also.items()},
            training=from_mapping(settings_class, {**defaults, **training}, source=source),
            **{own_name: from_mapping(config_class, own, source=source, also=field_names(settings_class))},
        )
        return parse_flags(options, flags, prog=prog, default=default)

    flags = current_flags(flags, options)  # once, since the flags may be parsed twice
    path = _config_path(flags)
    if path is None:
        parsed = read({}, {}, "")
    else:
        values, _ = read_settings(path)
        of = values.pop("agent", None)
        if of not in (None, agent) and str(of).rpartition(":")[2] != spec.name:
            raise UserError(f"{path} holds settings of the agent {of!r}, not of {agent!r}")
        parsed = read(*split_settings(values, agent, source=str(path)), str(path))
    if parsed.file.protocol is not None:
        if path is not None:
            raise UserError("give --config or --preset, not both")
        values = spec.protocol(parsed.file.protocol, parsed.training.env)
        name = parsed.file.protocol
        parsed = read(*split_settings(values, agent, source=name), name)
    return Parsed(parsed.training, getattr(parsed, own_name), {name: getattr(parsed, name) for name in also})


def _config_path(flags: Sequence[str]) -> Path | None:
    """Return the value of ``--config``; the parser reads it again, with its checks."""
    for i, flag in enumerate(flags):
        if flag == "--config" and flags[i + 1 : i + 2] not in ([], [""]):
            return Path(flags[i + 1])
        if flag.startswith("--config=") and flag != "--config=":
            return Path(flag.partition("=")[2])
    return None


def summary(run: Any) -> str:
    """Return the closing lines: each seed's front in numbers, and the files to look at."""
    lines = [
        f"seed {seed}: {len(front)} {front.kind}, {front.describe_hypervolume()}, {front.how_measured}"
        f"{'' if front.objects else ' on ' + counted(front.episodes, 'fresh episode') + ' each'}"
        for seed, front in run.fronts.items()
    ]
    lines += [f"seed {seed}: {text}" for seed, front in run.fronts.items() if (text := front.describe_tight())]
    if run.front.protocol is not None:
        lines += run.front.protocol.describe_anchors()
    files = [f"front: {run.path / 'front.csv'}", f"picture: {run.path / 'front.png'}"]
    return "\n".join([*lines, *files, f"next: morl report {shlex.quote(str(run.path))}"])
