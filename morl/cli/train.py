"""``morl train AGENT``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import tyro

from morl.errors import UserError
from morl.registry import agent_spec, agent_specs, load
from morl.settings import TrainSettings

INTERRUPTED = 130

HELP = """usage: morl train AGENT [flags]

Train an agent on an environment; leaves a run directory with config.yaml, metrics.csv, TensorBoard events, front.csv,
front.png and checkpoints. `morl train AGENT --help` lists every setting.

agents: {agents}
"""


@dataclass(frozen=True)
class _File:
    """Where settings come from besides the flags."""

    config: Path | None = None
    """YAML file of settings by name (a run's config.yaml, for example); flags given here win over it."""
    protocol: Annotated[str | None, tyro.conf.arg(aliases=["--preset"])] = None
    """Settings an agent was published with, for the environment (paper); flags given here win."""


def main(args: Sequence[str]) -> int:
    """Train; 0 when finished, 130 when stopped early by Ctrl-C (the front of that moment is written all the same)."""
    if not args or args[0] in ("-h", "--help"):
        print(HELP.format(agents=", ".join(agent_specs())), end="")
        return 0
    name, *flags = args
    if name.startswith("-"):
        raise UserError(f"the agent comes first: morl train AGENT [flags]; agents: {', '.join(agent_specs())}")
    spec = agent_spec(name)
    settings, config = parse(name, load(spec.config), flags)

    from morl.cli.progress import TerminalReporter
    from morl.training import train

    with TerminalReporter() as reporter, _stop_on_interrupt() as stopped:
        run = train(name, settings, config, reporter=reporter, should_stop=lambda: bool(stopped))
    print(summary(run))
    return INTERRUPTED if stopped else 0


def parse(agent: str, config_class: type[Any], flags: Sequence[str]) -> tuple[TrainSettings, Any]:
    """Settings from flags over a YAML file or a protocol over defaults."""
    from morl.loading import split_config, split_settings
    from morl.options import field_names, from_mapping
    from morl.options import parse as parse_flags

    prog = f"morl train {agent}"
    options = make_dataclass("Options", [("file", _File), ("training", TrainSettings), (agent, config_class)])

    def read(training: Mapping[str, Any], own: Mapping[str, Any], source: str) -> Any:
        defaults = options(
            file=_File(path),
            training=from_mapping(TrainSettings, training, source=source),
            **{agent: from_mapping(config_class, own, source=source, also=field_names(TrainSettings))},
        )
        return parse_flags(options, flags, prog=prog, default=defaults)

    path = _config_path(flags)
    if path is None:
        parsed = read({}, {}, "")
    else:
        of, training, own = split_config(path)
        if of not in (None, agent):
            raise UserError(f"{path} holds settings of the agent {of!r}, not of {agent!r}")
        parsed = read(training, own, str(path))
    if parsed.file.protocol is not None:
        if path is not None:
            raise UserError("give --config or --protocol, not both")
        values = agent_spec(agent).protocol(parsed.file.protocol, parsed.training.env)
        training, own = split_settings(values)
        parsed = read(training, own, parsed.file.protocol)
    return parsed.training, getattr(parsed, agent)


def _config_path(flags: Sequence[str]) -> Path | None:
    """The value of ``--config``; the parser proper reads it again, with its checks."""
    for i, flag in enumerate(flags):
        if flag == "--config" and i + 1 < len(flags):
            return Path(flags[i + 1])
        if flag.startswith("--config="):
            return Path(flag.partition("=")[2])
    return None


@contextmanager
def _stop_on_interrupt() -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM only fills the list; a second one interrupts at once."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("\nstopping: the front of this moment is being evaluated and written (again to abort)", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summary(run: Any) -> str:
    """Closing lines: each seed's front in numbers, and where to look."""
    lines = [
        f"seed {seed}: {len(front)} {front.kind}, {front.describe_hypervolume()}, {front.how_measured}"
        f"{'' if front.objects else f' on {front.episodes} fresh episodes each'}"
        for seed, front in run.fronts.items()
    ]
    return "\n".join([*lines, f"front: {run.path / 'front.csv'}", f"picture: {run.path / 'front.png'}"])
