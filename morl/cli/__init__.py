"""The ``morl`` command. This file answers help and lists on its own; each command's module loads when it is called."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Callable, Sequence

from morl.errors import UserError, unknown_name

COMMANDS = {
    "train": ("AGENT [flags]", "train an agent and leave a run directory with its Pareto front"),
    "tune": ("AGENT [flags]", "search for hyper-parameters, and compare the best with the defaults on other seeds"),
    "evaluate": ("RUN [flags]", "evaluate the policies of a run's front again on fresh seeds"),
    "front": ("RUN [flags]", "print a run's front, or the policy of it that fits a preference"),
    "rollout": ("RUN [flags]", "run the policy that fits a preference and show what it does, as a video too"),
    "sample": ("RUN [flags]", "draw objects with the sampler of a run (mogfn), for any preference"),
    "compare": ("RUN... [flags]", "compare runs: metrics with intervals over seeds, probability of improvement"),
    "report": (
        "RUN... [flags]",
        "write an HTML file that shows runs: fronts, sliders for the preference, metrics",
    ),
    "export": (
        "RUN --out FILE [flags]",
        "write a policy as a program that runs without this library: PyTorch, JAX, ONNX",
    ),
    "tensorboard": ("RUN [flags]", "show the metrics of a run, or of a folder of runs, in TensorBoard"),
    "check-env": ("ID [flags]", "check an environment, your own for example, and print what to fix"),
    "envs": ("", "list the environments"),
    "agents": ("", "list the agents"),
}


def usage() -> str:
    """The text of ``morl --help``."""
    width = max(len(f"{name} {arguments}") for name, (arguments, _) in COMMANDS.items())
    commands = "\n".join(f"  {f'{name} {arguments}':<{width}}  {text}" for name, (arguments, text) in COMMANDS.items())
    return (
        "usage: morl COMMAND ...\n\n"
        "Multi-objective reinforcement learning: train, and get the Pareto front of policies.\n\n"
        f"commands:\n{commands}\n\n"
        "flags of a command: morl COMMAND --help, morl train AGENT --help\n"
        "start with: morl train cmorl --env minecart-v0\n"
    )


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"morl: warning: {message}\n"


def _oracle_failure(error: Exception) -> UserError | None:
    """Return what an oracle raised, if its module is loaded (:mod:`morl.envs.constructive.host_values`)."""
    host_values = sys.modules.get("morl.envs.constructive.host_values")
    return None if host_values is None else host_values.oracle_failure(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code is 2 for a user's mistake, told in one line."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if args[0] == "--version":
        from morl import __version__

        print(f"morl {__version__}")
        return 0
    command, *rest = args
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a γ on a terminal that has none is no reason to fail
    try:
        if command not in COMMANDS:
            raise unknown_name("command", command, COMMANDS)
        if broken := [arg for arg in rest if "\0" in arg]:
            raise UserError(f"{broken[0]!r} has a null character, which no path or name can have")
        warnings.formatwarning = _one_line
        run: Callable[[Sequence[str]], int] = importlib.import_module(f"morl.cli.{command.replace('-', '_')}").main
        return run(rest)
    except UserError as error:
        print(f"morl{f' {command}' if command in COMMANDS else ''}: error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ValueError) as error:  # of JAX, perhaps around what an oracle raised within compiled code
        failure = _oracle_failure(error)
        if failure is None:
            raise
        print(f"morl {command}: error: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        sys.stderr.close()
        return 0
