"""Objectives of an oracle (:mod:`.oracle`) in compiled code: one call of the host for a whole batch."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.oracle import Oracle, OracleError
from morl.errors import UserError


def host_values(
    oracle: Oracle[Any],
    read: Callable[[NDArray[Any]], Any],
    rows: jax.Array,
    wanted: jax.Array,
    num_objectives: int,
) -> jax.Array:
    """Return the objectives (R,) of the object that a row (K,) describes where it is wanted, else 0.

    Under ``vmap`` the host is called once for all rows. The compiler removes the call where its result is not used,
    such as in a scan whose rewards are not read.

    Args:
        oracle: computes the objectives of objects.
        read: converts a row to an object, on the host.
        rows: (K,) integers.
        wanted: () bool.
        num_objectives: R.
    """

    def on_host(rows: Any, wanted: Any) -> NDArray[np.float32]:
        rows, wanted = np.asarray(rows), np.asarray(wanted)
        values = np.zeros((*wanted.shape, num_objectives), np.float32)
        if wanted.any():
            try:
                values[wanted] = oracle([read(row) for row in rows[wanted]])
            except OracleError as error:
                _failures.append(error)
                raise
        return values

    shape = jax.ShapeDtypeStruct((num_objectives,), np.float32)
    values: jax.Array = jax.pure_callback(on_host, shape, rows, wanted, vmap_method="broadcast_all")
    return values


WRAPPERS = (RuntimeError, ValueError)  # errors of JAX for one in a callback, by how the callback was called


@contextlib.contextmanager
def oracle_errors() -> Iterator[None]:
    """Re-raise the error of an oracle in compiled code, which JAX turns into text in an error of its own.

    JAX dispatches asynchronously, so the block must wait for its results.

    Raises:
        OracleError: an oracle raised it in the block.
    """
    try:
        yield
    except UserError:
        raise
    except WRAPPERS as error:
        failure = oracle_failure(error)
        if failure is None:
            raise
        raise failure from None


def oracle_failure(error: BaseException) -> OracleError | None:
    """Return the oracle's error that caused an error of JAX (one of ``WRAPPERS``), or None for another cause."""
    text = str(error)
    found = next((failure for failure in reversed(_failures) if str(failure) in text), None)
    if found is None:
        return None
    fresh = OracleError(str(found))
    fresh.details = found.details
    return fresh


_failures: deque[OracleError] = deque(maxlen=16)  # the last oracle errors


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], OracleError))


# JAX logs the traceback of every error in a callback; for an oracle the error message is enough
logging.getLogger("jax._src.callback").addFilter(_is_news)
