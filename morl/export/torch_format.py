"""Format of ``torch.export``, with a description as JSON inside under the name ``morl.json``."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from morl.export import Program
from morl.export.to_torch import Translated, dtype


def exported(program: Program) -> torch.export.ExportedProgram:
    """Export the program for batches of any size."""
    with program.tracing():
        module = Translated(program.one, program.traced, program.observations.offset).eval()
    example = tuple(torch.zeros(2, *shape, dtype=dtype(kind)) for shape, kind in program.inputs)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's warnings about itself
        return torch.export.export(module, example, dynamic_shapes=(tuple({0: batch} for _ in example),), strict=False)


def write(program: Program) -> tuple[bytes, Callable[..., NDArray[Any]]]:
    """Write a program; see :class:`morl.export.Written`."""
    found, buffer = exported(program), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(found, buffer, extra_files={"morl.json": json.dumps(program.about)})
    module = found.module()

    def act(*arguments: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            result: NDArray[Any] = module(*map(torch.from_numpy, arguments)).numpy()
        return result

    return buffer.getvalue(), act
