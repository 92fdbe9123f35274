"""``morl tensorboard RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from morl.errors import UserError
from morl.parsing import parse

COMMAND = (100, "RUN [flags]", "show the metrics of a run, or of a folder of runs, in TensorBoard")
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class TensorBoardOptions:
    """Show the metrics of a run, or of a folder of runs, in TensorBoard, to this machine only."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory, or a folder of them."""
    port: int = 6006
    """Port; 0 takes any free one."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"port must be at least 0 and at most 65535, not {self.port}")


def main(args: Sequence[str]) -> int:
    """Serve TensorBoard until interrupted."""
    options = parse(TensorBoardOptions, args, prog="morl tensorboard")
    if not options.run.is_dir():
        from morl.runs.directory import check_written

        check_written(options.run)
    try:
        found = next(options.run.rglob("events.out.tfevents.*"), None)
    except OSError as error:  # raised in special folders such as /proc
        raise UserError(f"cannot look through {options.run}: {error.strerror}") from error
    if found is None:
        raise UserError(f"{options.run} holds no events of TensorBoard; give a run directory or a folder of runs")
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(["tensorboard", "--logdir", str(options.run), "--host", LOOPBACK, "--port", str(options.port)])
    return int(board.main() or 0)
