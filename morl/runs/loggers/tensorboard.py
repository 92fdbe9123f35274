"""TensorBoard events, written by TensorBoard's own package: others import PyTorch where it is installed."""

from __future__ import annotations

import io
import json
import math
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from morl.runs.files import GrowingFile


class TensorBoardWriter:
    """Writer of TensorBoard events; scalars of seed s are under ``seed_s/``, at the environment step.

    They are written here and now, not by the package's thread, which would tell of a full disk at some later write.

    Args:
        directory: of the run; every writer adds a file.
        purge: TensorBoard forgets what earlier files have of this step and later; None in a new run.
    """

    def __init__(self, directory: Path, purge: int | None = None) -> None:
        # heavy, so imported when needed
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        number = len(list(directory.glob("events.out.tfevents.*")))
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}" + (f".{number:03}" if number else "")
        self._file = GrowingFile(directory / name)
        self._writer = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        if purge is not None:
            self._write(step=purge, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, row: dict[str, float | int]) -> None:
        """Write the finite scalars of a row, except its step and seed; TensorBoard shows no others."""
        values = {
            f"seed_{row['seed']}/{n}": v for n, v in row.items() if n not in ("step", "seed") and math.isfinite(v)
        }
        self.scalars(values, int(row["step"]))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars that belong to no seed."""
        self._add(step, *(self._summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()))

    def text(self, name: str, text: str) -> None:
        """Write a text, the configuration for example."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(0, *text_pb(f"{name}/text_summary", text).value)

    def image(self, name: str, image: Any, step: int) -> None:
        """Write an (H, W, 3) uint8 image."""
        height, width, channels = image.shape
        png = io.BytesIO()
        Image.fromarray(image).save(png, "png")
        encoded = self._summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue()
        )
        self._add(step, self._summary.Value(tag=name, image=encoded))

    def hparams(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Write the settings and results of a run, for the table of runs under HPARAMS."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        start, experiment = plugin_data_pb2.SessionStartInfo(), api_pb2.Experiment()
        for name, value in settings.items():
            plain = value if isinstance(value, bool | int | float | str) else json.dumps(value)
            field, kind = "number_value", "DATA_TYPE_FLOAT64"
            if isinstance(plain, bool):
                field, kind = "bool_value", "DATA_TYPE_BOOL"
            elif isinstance(plain, str):
                field, kind = "string_value", "DATA_TYPE_STRING"
            setattr(start.hparams[name], field, plain)
            experiment.hparam_infos.add(name=name, type=api_pb2.DataType.Value(kind))
        for name in results:
            experiment.metric_infos.add(name=api_pb2.MetricName(tag=name))
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))
        for tag, data in (
            (metadata.EXPERIMENT_TAG, {"experiment": experiment}),
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**data))
            self._add(0, self._summary.Value(tag=tag, metadata=about))
        self.scalars(results, step)

    def close(self) -> None:
        """Close the events file."""
        self._file.close()

    def _add(self, step: int, *values: Any) -> None:
        self._write(step=step, summary=self._summary(value=values))

    def _write(self, **fields: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **fields).SerializeToString())
