"""``morl export RUN``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from morl.errors import UserError
from morl.parsing import parse

COMMAND = (
    90,
    "RUN --out FILE [flags]",
    "write a policy as a program that runs without this library: PyTorch, JAX, ONNX",
)


@dataclass(frozen=True)
class ExportOptions:
    """Write a policy as a program that runs without this library: from observations to greedy actions.

    If the run has one policy for all preferences, the program takes the preference too unless one is given here.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    out: Path
    """New file to write, whose name says the format: .pt2 for torch, .jax for jax, .onnx for onnx."""
    format: Literal["torch", "jax", "onnx"] | None = None
    """torch: a program of torch.export, for PyTorch alone; jax: StableHLO, for JAX alone; onnx: for any runtime of
    ONNX. By default what the name of the file says."""
    preference: tuple[float, ...] | None = None
    """Weights of the objectives that sum to 1; selects the policy with the largest weighted return."""
    policy: int | None = None
    """Select a policy by its id in front.csv instead."""
    training_seed: int | None = None
    """Training seed of the front, in a run of several seeds; by default the first seed."""

    def __post_init__(self) -> None:
        if self.preference is not None and self.policy is not None:
            raise UserError("give --preference or --policy, not both")


def main(args: Sequence[str]) -> int:
    """Write the program and print what was written."""
    options = parse(ExportOptions, args, prog="morl export")
    from morl.export import CHECKED, export

    done = export(
        options.run,
        options.out,
        format=options.format,
        preference=options.preference,
        policy=options.policy,
        training_seed=options.training_seed,
    )
    what = "the policy for any preference" if done.policy is None else f"policy {done.policy}"
    print(f"{what} of {options.run}: {done.path} ({done.size:,} bytes)")
    for note in done.notes:
        print(f"note: {note}")
    print(f"largest difference from the policy on {CHECKED} random observations: {done.difference:.2g}")
    return 0
