"""Format ONNX, by PyTorch's own exporter from the program that is exported to PyTorch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from morl.export import Program
from morl.export.torch_format import exported

NAMES = ("observation", "preference")


def write(program: Program) -> tuple[bytes, Callable[..., NDArray[Any]]]:
    """Write a program; see :class:`morl.export.Written`. ONNX's reference implementation runs it for the check."""
    names = NAMES[: len(program.inputs)]
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of optional packages that are missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = torch.onnx.export(exported(program), input_names=names, output_names=["action"], verbose=False)
    finally:
        log.setLevel(level)
    model = found.model_proto
    graph = model.graph
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.input, *graph.output, *graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == symbol:
                size.dim_param = "batch"
    about = model.metadata_props.add()
    about.key, about.value = "morl.json", json.dumps(program.about)
    evaluator = ReferenceEvaluator(model)

    def act(*arguments: NDArray[Any]) -> NDArray[Any]:
        result: NDArray[Any] = evaluator.run(None, dict(zip(names, arguments, strict=True)))[0]
        return result

    return model.SerializeToString(), act
