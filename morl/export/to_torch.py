"""Translation of JAX functions into PyTorch modules, operation by operation of the traced function.

So a policy is exported as it acts, whatever its network, its normalisation and its environment's features and masks,
and there is no second implementation of them. Only operations that policies are made of are known; others are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import torch
from jax.extend import core

from morl.errors import UserError

Operation = Callable[..., torch.Tensor]

_DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
}
_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call")


def dtype(of: Any) -> torch.dtype:
    """Return the PyTorch dtype of a NumPy dtype.

    Raises:
        UserError: it has none such.
    """
    if np.dtype(of) not in _DTYPES:
        raise UserError(f"{np.dtype(of)} is no type of PyTorch's")
    found: torch.dtype = _DTYPES[np.dtype(of)]
    return found


class Translated(torch.nn.Module):
    """Module that runs a function of single arrays on batches: arguments and result have one more leading axis.

    Args:
        function: of arrays to one array, traceable by JAX.
        examples: shapes and dtypes of its arguments as JAX has them; the module casts what it gets to them.
        offset: subtracted from the first argument before that, in the types that both have.

    Raises:
        UserError: it uses an operation that is not known here.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        examples: Sequence[jax.ShapeDtypeStruct],
        offset: np.ndarray[Any, Any] | None = None,
    ) -> None:
        super().__init__()
        closed = jax.make_jaxpr(function)(*examples)
        self._jaxpr: Any = closed.jaxpr
        _check(self._jaxpr)
        needed = _needed(self._jaxpr)
        self._constants: dict[Any, str] = {}
        if offset is not None:
            dtype(offset.dtype)  # checked
        self.register_buffer("offset", None if offset is None else torch.from_numpy(np.array(offset))[None])
        for i, (variable, value) in enumerate(zip(self._jaxpr.constvars, closed.consts, strict=True)):
            if variable in needed:
                self.register_buffer(f"constant_{i}", torch.from_numpy(np.array(value)))
                self._constants[variable] = f"constant_{i}"

    def forward(self, *arguments: torch.Tensor) -> torch.Tensor:
        """Return the result (B, ...) for arguments (B, ...)."""
        if self.offset is not None:
            arguments = (arguments[0] - self.offset, *arguments[1:])
        constants = {variable: getattr(self, name)[None] for variable, name in self._constants.items()}
        cast = [x.to(dtype(variable.aval.dtype)) for variable, x in zip(self._jaxpr.invars, arguments, strict=True)]
        (result,) = _run(self._jaxpr, constants, cast)
        return result


def _needed(jaxpr: Any) -> set[Any]:
    """Return the variables that the results depend on."""
    needed = {x for x in jaxpr.outvars if not isinstance(x, core.Literal)}
    for equation in reversed(jaxpr.eqns):
        if needed & set(equation.outvars):
            needed |= {x for x in equation.invars if not isinstance(x, core.Literal)}
    return needed


def _check(jaxpr: Any) -> None:
    """Check that every operation is known, before anything is run."""
    needed = _needed(jaxpr)
    for equation in jaxpr.eqns:
        if not needed & set(equation.outvars):
            continue
        name = equation.primitive.name
        if name in _CALLS:
            _check(_called(equation).jaxpr)
        elif name not in _OPERATIONS:
            raise UserError(f"this policy uses the operation {name}, which cannot be put into PyTorch here; use jax")


def _called(equation: Any) -> Any:
    return equation.params["call_jaxpr" if "call_jaxpr" in equation.params else "jaxpr"]


def _run(jaxpr: Any, values: dict[Any, torch.Tensor], arguments: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """Run the operations one after another and return the results.

    Every value has a leading batch axis, of size 1 if it is the same for all; so JAX's axes count from 1 here.
    """
    given = {v: x for v, x in zip(jaxpr.invars, arguments, strict=True) if x is not None}
    values = {**values, **given}
    needed = _needed(jaxpr)

    def value(x: Any) -> torch.Tensor | None:
        if isinstance(x, core.Literal):
            like: Any = x.aval
            return torch.full((1,), np.asarray(x.val).item(), dtype=dtype(like.dtype))
        return values.get(x)

    for equation in jaxpr.eqns:
        if not needed & set(equation.outvars):
            continue
        operands = [value(x) for x in equation.invars]
        if equation.primitive.name in _CALLS:
            called = _called(equation)
            constants = {
                variable: torch.from_numpy(np.array(x))[None]
                for variable, x in zip(called.jaxpr.constvars, called.consts, strict=True)
            }
            results = _run(called.jaxpr, constants, operands)
        else:
            results = [_OPERATIONS[equation.primitive.name](*_aligned(operands), equation=equation)]
        values.update(zip(equation.outvars, results, strict=True))
    return [x for x in map(value, jaxpr.outvars) if x is not None]


def _aligned(operands: Sequence[Any]) -> list[torch.Tensor]:
    """Return tensors with scalars reshaped to as many axes as the arrays beside them."""
    most = max((x.ndim for x in operands), default=0)
    return [x.reshape(x.shape[0], *(1,) * (most - 1)) if x.ndim == 1 else x for x in operands]


def _plain(function: Callable[..., Any]) -> Operation:
    """Return a translation that ignores the parameters of the operation."""
    return lambda *operands, equation: function(*operands)


def _div(x: torch.Tensor, y: torch.Tensor, equation: Any) -> torch.Tensor:
    return torch.div(x, y) if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _integer_pow(x: torch.Tensor, equation: Any) -> torch.Tensor:
    return torch.pow(x, equation.params["y"])


def _convert(x: torch.Tensor, equation: Any) -> torch.Tensor:
    return x.to(dtype(equation.params["new_dtype"]))


def _round(x: torch.Tensor, equation: Any) -> torch.Tensor:
    if equation.params["rounding_method"] is not jax.lax.RoundingMethod.TO_NEAREST_EVEN:
        raise UserError("this policy rounds halves away from 0, which cannot be put into PyTorch here; use jax")
    return torch.round(x)


def _select(which: torch.Tensor, *cases: torch.Tensor, equation: Any) -> torch.Tensor:
    result = cases[0]
    for i, case in enumerate(cases[1:], start=1):
        result = torch.where(which if which.dtype == torch.bool else which == i, case, result)
    return result


def _clamp(low: torch.Tensor, x: torch.Tensor, high: torch.Tensor, equation: Any) -> torch.Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def _broadcast(x: torch.Tensor, equation: Any) -> torch.Tensor:
    shape, kept = equation.params["shape"], equation.params["broadcast_dimensions"]
    sizes = [1] * len(shape)
    for axis, size in zip(kept, x.shape[1:], strict=True):
        sizes[axis] = size
    return x.reshape(x.shape[0], *sizes).expand(-1, *shape)


def _reshape(x: torch.Tensor, equation: Any) -> torch.Tensor:
    return x.reshape(x.shape[0], *equation.outvars[0].aval.shape)


def _transpose(x: torch.Tensor, equation: Any) -> torch.Tensor:
    return x.permute(0, *(axis + 1 for axis in equation.params["permutation"]))


def _together(operands: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return tensors expanded to one batch size."""
    size = next((x.shape[0] for x in operands if not _alike(x)), 1)
    return [x.expand(size, *x.shape[1:]) for x in operands]


def _concatenate(*operands: torch.Tensor, equation: Any) -> torch.Tensor:
    return torch.cat(_together(operands), dim=equation.params["dimension"] + 1)


def _stack(*operands: torch.Tensor, equation: Any) -> torch.Tensor:
    return torch.stack(_together(operands), dim=equation.params["axis"] + 1)


def _slice(x: torch.Tensor, equation: Any) -> torch.Tensor:
    start, limit = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(start)
    return x[(slice(None), *(slice(*part) for part in zip(start, limit, strides, strict=True)))]


def _iota(equation: Any) -> torch.Tensor:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    sizes = [size if i == axis else 1 for i, size in enumerate(shape)]
    numbers = torch.arange(shape[axis], dtype=dtype(equation.params["dtype"]))
    return numbers.reshape(1, *sizes).expand(1, *shape)


def _reduce(function: Callable[..., Any]) -> Operation:
    def apply(x: torch.Tensor, equation: Any) -> torch.Tensor:
        axes = tuple(axis + 1 for axis in equation.params["axes"])
        result: torch.Tensor = function(x, dim=axes) if axes else x
        return result

    return apply


def _sum(x: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    return torch.sum(x, dim=dim, dtype=x.dtype)


def _arg(function: Callable[..., Any]) -> Operation:
    def apply(x: torch.Tensor, equation: Any) -> torch.Tensor:
        (axis,) = equation.params["axes"]
        result: torch.Tensor = function(x, dim=axis + 1).to(dtype(equation.params["index_dtype"]))
        return result

    return apply


def _dot(x: torch.Tensor, y: torch.Tensor, equation: Any) -> torch.Tensor:
    (sum_x, sum_y), (batch_x, batch_y) = equation.params["dimension_numbers"]
    of_x = list(range(1, x.ndim))
    of_y = list(range(x.ndim, x.ndim + y.ndim - 1))
    for i, j in [*zip(sum_x, sum_y, strict=True), *zip(batch_x, batch_y, strict=True)]:
        of_y[j] = of_x[i]
    both = [of_x[i] for i in batch_x]
    free_x = [axis for i, axis in enumerate(of_x) if i not in (*sum_x, *batch_x)]
    free_y = [axis for j, axis in enumerate(of_y) if j not in (*sum_y, *batch_y)]
    # a weight is the same for the whole batch: one matrix product instead of one per row
    if _alike(y):
        y, of_x = y[0], [0, *of_x]
    elif _alike(x):
        x, of_y = x[0], [0, *of_y]
    else:
        of_x, of_y = [0, *of_x], [0, *of_y]
    result: torch.Tensor = torch.einsum(x, of_x, y, of_y, [0, *both, *free_x, *free_y])
    return result


def _alike(x: torch.Tensor) -> bool:
    """Return whether a tensor is the same for all of the batch, whose size is a symbol during an export."""
    return isinstance(x.shape[0], int) and x.shape[0] == 1


_PLAIN: dict[str, Any] = {
    "abs": torch.abs, "add": torch.add, "add_any": torch.add, "and": torch.bitwise_and, "ceil": torch.ceil,
    "copy": torch.clone, "cos": torch.cos, "eq": torch.eq, "erf": torch.erf, "exp": torch.exp,
    "expm1": torch.expm1, "floor": torch.floor, "ge": torch.ge, "gt": torch.gt, "is_finite": torch.isfinite,
    "le": torch.le, "log": torch.log, "log1p": torch.log1p, "logistic": torch.sigmoid, "lt": torch.lt,
    "max": torch.maximum, "min": torch.minimum, "mul": torch.mul, "ne": torch.ne, "neg": torch.neg,
    "not": torch.bitwise_not, "or": torch.bitwise_or, "pow": torch.pow, "rem": torch.fmod,
    "rsqrt": torch.rsqrt, "sign": torch.sign, "sin": torch.sin, "sqrt": torch.sqrt, "square": torch.square,
    "stop_gradient": torch.clone, "sub": torch.sub, "tanh": torch.tanh, "xor": torch.bitwise_xor,
}  # fmt: skip
_OPERATIONS: dict[str, Operation] = {
    **{name: _plain(function) for name, function in _PLAIN.items()},
    "argmax": _arg(torch.argmax),
    "argmin": _arg(torch.argmin),
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "convert_element_type": _convert,
    "div": _div,
    "dot_general": _dot,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "reduce_max": _reduce(torch.amax),
    "reduce_min": _reduce(torch.amin),
    "reduce_sum": _reduce(_sum),
    "reshape": _reshape,
    "round": _round,
    "select_n": _select,
    "slice": _slice,
    "squeeze": _reshape,
    "stack": _stack,
    "transpose": _transpose,
}
