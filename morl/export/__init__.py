"""Export of policies as programs that need neither this library nor, in PyTorch's format, JAX.

Everything between an observation as the environment gives it and an action as the environment takes it is inside:
normalisation, one-hot encoding, masks and the greedy choice.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jax.extend.core import jaxpr_as_fun
from numpy.typing import NDArray

from morl.errors import MissingExtraError, UserError
from morl.loading import front_of_seed, fronts_of, setup_of
from morl.ops.spaces import bounds_within, narrow
from morl.runs.front import Front, Policy
from morl.spaces import Observations
from morl.types import Actor
from morl.viz.video import check_new_file

Format = Literal["torch", "jax", "onnx"]
SUFFIXES = {"torch": ".pt2", "jax": ".jax", "onnx": ".onnx"}
NEEDS = {  # modules to import, and the extras that install them
    "torch": (("torch", "torch"),),
    "jax": (("flatbuffers", "export"),),
    "onnx": (("torch", "export"), ("onnx", "export"), ("onnxscript", "export")),
}
CHECKED = 256  # random observations
TOLERANCE = 1e-5  # largest difference of actions, relative to the largest of them
TIES = 0.01  # largest share of greedy choices that rounding may change between near ties


@dataclass(frozen=True)
class Program:
    """Program to export: a function of one observation, and of a preference if the policy takes any.

    Attributes:
        one: traceable by JAX.
        inputs: shape and dtype of each argument as the caller has it, NumPy's.
        traced: the same as JAX has them.
        about: what the program is, as JSON holds it.
        wide: actions are of 64 bits, so that ``one`` has to be traced under :meth:`tracing`.
        observations: how the first argument is turned into what ``one`` takes.
        subtracted: what ``one`` itself subtracts from it, in 32 bits.
    """

    one: Callable[..., jax.Array]
    inputs: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    traced: tuple[jax.ShapeDtypeStruct, ...]
    about: dict[str, Any]
    observations: Observations
    wide: bool = False
    subtracted: NDArray[Any] | None = None

    def tracing(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context to trace :attr:`one` in."""
        return jax.enable_x64(True) if self.wide else contextlib.nullcontext()


class Written(Protocol):
    """Writer of a format: returns a program as bytes, and a function of them from arrays (B, ...) to actions."""

    def __call__(self, program: Program) -> tuple[bytes, Callable[..., NDArray[Any]]]: ...


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        path, size: the file and its bytes.
        policy: its row in ``front.csv``; none where it takes any preference.
        difference: the largest from the policy's own actions on random observations; of choices the share that differ.
        notes: what the format cannot carry.
    """

    path: Path
    size: int
    policy: int | None
    difference: float
    notes: tuple[str, ...] = ()


def export(
    run: str | Path,
    out: str | Path,
    *,
    format: Format | None = None,
    preference: Any = None,
    policy: int | None = None,
    training_seed: int | None = None,
    env: Any = None,
) -> Exported:
    """Write a policy of a finished run as a program.

    Args:
        run: run directory.
        out: a new file, .pt2, .jax or .onnx.
        format: ``torch``, a program of ``torch.export``; ``jax``, StableHLO by ``jax.export``;
            ``onnx``, of PyTorch's program; by default what the name of the file says.
        preference: (R,) on the simplex; the policy with the largest weighted return is taken.
        policy: a policy by its number in ``front.csv`` instead. With neither, a run whose one policy takes any
            preference gives a program that takes it too, as a second argument (B, R).
        training_seed: whose front; by default that of the first seed.
        env: the environment, as for :func:`morl.load`.

    Raises:
        UserError: not a finished run, no such policy or seed, a file that exists, a missing extra, a policy that the
            format cannot hold.
    """
    path = Path(out)
    format = format_of(path, format)
    check_new_file(path)
    for module, extra in NEEDS[format]:
        try:
            importlib.import_module(module)
        except ImportError:
            raise MissingExtraError(f"exporting to {format}", extra) from None
    if preference is not None and policy is not None:
        raise UserError("give a preference or the number of a policy, not both")
    setup, settings = setup_of(Path(run), env=env)
    setup.require("export")
    front = front_of_seed(fronts_of(Path(run), setup, settings), training_seed)
    row = front.assign(preference) if preference is not None else policy
    if row is None and not front.conditional:
        raise UserError("give --preference or --policy: each policy of this run is for a preference of its own")
    notes: tuple[str, ...] = ()
    program = _program(front, row, setup.env, settings.env)
    if format == "jax":
        program, notes = _in_32_bits(program)
    write: Written = importlib.import_module(f"morl.export.{format}_format").write
    content, act = write(program)
    difference = _difference(program, act, front.at(row or 0), setup.env)
    path.write_bytes(content)
    return Exported(path, len(content), row, difference, notes)


def format_of(path: Path, format: Format | None = None) -> Format:
    """Return the format of a file by its name.

    Raises:
        UserError: a name that says none, or another one than ``format``.
    """
    if format is not None and path.suffix != SUFFIXES[format]:
        raise UserError(f"cannot write {format} to {path}; its files end in {SUFFIXES[format]}")
    for known in get_args(Format):
        if path.suffix == SUFFIXES[known]:
            found: Format = known
            return found
    allowed = ", ".join(f"{suffix} ({name})" for name, suffix in SUFFIXES.items())
    raise UserError(f"the name of {path} says no format; its end must be one of {allowed}")


def _program(front: Front, row: int | None, env: Any, name: str) -> Program:
    """Return the program of a front's row, or without a row that of the policy that takes any preference."""
    space, learner = env.observation_space, cast(Actor, front.learner)
    policy = front.at(row or 0)
    key = jax.random.key(0)  # unused, since actions are greedy
    own = policy.preference.astype(np.float32)

    def one(obs: jax.Array, preference: jax.Array | NDArray[np.float32] = own) -> jax.Array:
        action = learner.act(policy.params, obs[None], preference, key, greedy=True)  # type: ignore[arg-type]
        return learner.to_env(action)[0]

    inputs = [(tuple(space.shape), np.dtype(space.dtype))]
    if row is None:
        inputs.append(((len(front.objectives),), np.dtype(np.float32)))
    rows = range(len(front)) if row is None else [row]
    about = {
        "environment": name,
        "objectives": list(front.objectives),
        "gamma": front.gamma,
        "inputs": [{"shape": ["batch", *shape], "dtype": str(dtype)} for shape, dtype in inputs],
        "action_space": str(env.action_space),
        "policies": [
            {"id": i, "preference": front.preferences[i].tolist(), "returns": front.returns[i].tolist()} for i in rows
        ],
    }
    observations = policy.observations
    kinds = [observations.seen.dtype, *(dtype for _, dtype in inputs[1:])]
    traced = tuple(jax.ShapeDtypeStruct(shape, narrow(kind)) for (shape, _), kind in zip(inputs, kinds, strict=True))
    if isinstance(env.action_space, spaces.Box) and jax.eval_shape(one, *traced).dtype != env.action_space.dtype:
        return Program(
            _in_own_type(one, traced, env.action_space), tuple(inputs), traced, about, observations, wide=True
        )
    return Program(one, tuple(inputs), traced, about, observations)


def _in_32_bits(program: Program) -> tuple[Program, tuple[str, ...]]:
    """Return the program for observations that come in JAX's types of 32 bits, and notes on what they then lack."""
    observations, traced = program.observations, program.traced[0]
    offset = observations.offset
    if offset is None:
        return program, ()
    with np.errstate(over="ignore"):
        subtracted = offset.astype(traced.dtype)
    if not np.array_equal(subtracted, offset) and not np.issubdtype(traced.dtype, np.floating):
        raise UserError(f"{observations.id} counts from more than 32 bits hold, which JAX does not take; use torch")

    def one(obs: jax.Array, *more: jax.Array) -> jax.Array:
        return program.one(obs - subtracted, *more)

    notes: tuple[str, ...] = ()
    if observations.origin:
        place, value = max(observations.origin.items(), key=lambda item: abs(item[1]))
        step = np.spacing(np.float32(abs(value)))
        notes = (
            f"JAX takes float32, which part {place} of an observation, near {value:g}, has in steps of {step:.3g}: "
            "where smaller changes matter, export to torch or onnx",
        )
    inputs = ((program.inputs[0][0], np.dtype(traced.dtype)), *program.inputs[1:])
    plain = Observations(observations.space, observations.id, converted=False)
    return replace(program, one=one, inputs=inputs, observations=plain, subtracted=subtracted), notes


def _in_own_type(
    one: Callable[..., jax.Array], traced: tuple[jax.ShapeDtypeStruct, ...], space: spaces.Box
) -> Callable[..., jax.Array]:
    """Return a program with actions in the 64 bits of their space, as :func:`morl.ops.spaces.to_space` gives them.

    The policy itself computes in 32 bits, as it is traced before.
    """
    policy = jaxpr_as_fun(jax.make_jaxpr(one)(*traced))
    low, high = bounds_within(space, np.float32)

    def converted(*arguments: jax.Array) -> jax.Array:
        action: jax.Array = policy(*arguments)[0]
        if np.issubdtype(action.dtype, np.integer):
            return action.astype(space.dtype)
        value = jnp.round(action) if np.issubdtype(space.dtype, np.integer) else action
        value = value.astype(space.dtype)
        return jnp.where(action <= low, space.low, jnp.where(action >= high, space.high, value))

    return converted


def _samples(program: Program, env: Any, number: int) -> list[NDArray[Any]]:
    """Draw random arguments (number, ...) of a program."""
    space = env.observation_space
    space.seed(0)
    obs = np.stack([np.asarray(space.sample()) for _ in range(number)])
    if origin := program.observations.origin:  # there only what float32 does not tell apart matters
        places, values = list(origin), np.array(list(origin.values()), np.float64)
        near = values * (1 + 2.0**-24 * np.random.default_rng(1).normal(size=(number, len(places))))
        obs.reshape(number, -1)[:, places] = near.astype(obs.dtype)
    arguments = [obs.astype(program.inputs[0][1])]
    if len(program.inputs) > 1:
        weights = np.random.default_rng(0).dirichlet(np.ones(program.inputs[1][0]), number)
        arguments.append(weights.astype(np.float32))
    return arguments


def _difference(program: Program, act: Callable[..., NDArray[Any]], policy: Policy, env: Any) -> float:
    """Return the difference of :class:`Exported`.

    Raises:
        UserError: it is larger than rounding makes it.
    """
    arguments = _samples(program, env, CHECKED)
    if program.subtracted is not None:
        seen = Observations(policy.observations.seen, converted=False)
        policy, obs = replace(policy, observations=seen, join=None), arguments[0] - program.subtracted
        wanted, got = policy(obs, *arguments[1:]), act(*arguments)
    else:
        wanted, got = policy(*arguments), act(*arguments)
    if wanted.shape != got.shape:
        raise UserError(f"the exported program gives actions {got.shape}, the policy {wanted.shape}")
    if np.issubdtype(wanted.dtype, np.integer):
        space = env.action_space
        span = space.high.astype(float) - space.low if isinstance(space, spaces.Box) else 0.0
        apart = np.abs(wanted.astype(float) - got)
        difference, allowed = float((apart > TOLERANCE * span).mean()), TIES  # of a wide range: rounded reals
    else:
        size = np.abs(wanted).max(axis=0, keepdims=True)  # of each number of an action, whatever its unit
        difference = float((np.abs(wanted - got) / np.where(size > 0, size, 1)).max())
        allowed = TOLERANCE
    if not difference <= allowed:
        raise UserError(f"the exported program differs from the policy by {difference:.3g}; nothing was written")
    return difference
