"""The ``morl`` command: each command is a module of this package, imported when it is called."""

from __future__ import annotations

import ast
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from morl.errors import UserError, unknown_name, whole_traceback
from morl.training.backends import compile_cache

VERBOSE = "--verbose"
NO_COMPILE_CACHE = "--no-compile-cache"
Command = tuple[str, str]
"""Arguments of a command, and what it does."""


@cache
def commands() -> dict[str, Command]:
    """Return the commands by name, in the order of the help.

    A command is a module of this package: ``main`` takes its arguments and returns the exit code, and the constant
    ``COMMAND`` holds the place in the help, the arguments and what it does. The constant is read from the source,
    since importing every command takes seconds.
    """
    found = []
    for file in files(__name__).iterdir():
        if file.name.endswith(".py") and (place := _constant(file.read_text(encoding="utf-8"))):
            found.append((*place, file.name.removesuffix(".py").replace("_", "-")))
    return {name: (arguments, text) for _, arguments, text, name in sorted(found)}


def _constant(source: str) -> tuple[int, str, str] | None:
    """Return the value of ``COMMAND`` in the source of a module, if it has one."""
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and [getattr(target, "id", "") for target in line.targets] == ["COMMAND"]:
            place: tuple[int, str, str] = ast.literal_eval(line.value)
            return place
    return None


def usage() -> str:
    """Return the text of ``morl --help``."""
    from morl.cli import table

    rows = [[f"  {name} {arguments}", text] for name, (arguments, text) in commands().items()]
    about = "Multi-objective reinforcement learning: train, and get the Pareto front of policies."
    return (
        "usage: morl COMMAND ...\n\n"
        f"{table.paragraph(about)}\n\n"
        f"{table.table(['commands:', ''], rows)}\n\n"
        "flags of a command: morl COMMAND --help, morl train AGENT --help\n"
        "with any command: --verbose prints the whole traceback of an error,\n"
        "--no-compile-cache compiles anew what earlier commands have compiled\n"
        "start with: morl train cmorl --env minecart-v0\n"
    )


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"morl: warning: {message}\n"


def _oracle_failure(error: Exception) -> UserError | None:
    """Return what an oracle raised, if its module is loaded (:mod:`morl.envs.constructive.host_values`)."""
    host_values = sys.modules.get("morl.envs.constructive.host_values")
    return None if host_values is None else host_values.oracle_failure(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; a user's mistake is one line and exit code 2."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if args[0] == "--version":
        from morl import __version__

        print(f"morl {__version__}")
        return 0
    command, *rest = [arg for arg in args if arg not in (VERBOSE, NO_COMPILE_CACHE)]
    verbose = VERBOSE in args
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without γ shows something else
    try:
        if command not in commands():
            raise unknown_name("command", command, commands())
        if broken := [arg for arg in rest if "\0" in arg]:
            raise UserError(f"{broken[0]!r} has a null character, which no path or name can have")
        warnings.formatwarning = _one_line
        if NO_COMPILE_CACHE not in args and "jax" not in sys.modules:
            compile_cache.turn_on(os.environ)
        run: Callable[[Sequence[str]], int] = importlib.import_module(f"morl.cli.{command.replace('-', '_')}").main
        return run(rest)
    except UserError as error:
        if verbose:
            print(whole_traceback(error), file=sys.stderr)
        print(f"morl{f' {command}' if command in commands() else ''}: error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, ValueError) as error:  # JAX's, perhaps around what an oracle raised inside compiled code
        failure = _oracle_failure(error)
        if failure is None:
            raise
        if verbose:
            print(whole_traceback(failure), file=sys.stderr)
        print(f"morl {command}: error: {failure}", file=sys.stderr)
        return 2
    except MemoryError as error:  # an environment or a file that is too large
        print(f"morl {command}: error: out of memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        sys.stderr.close()
        return 0
