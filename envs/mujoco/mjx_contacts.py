"""MuJoCo's contact directions for MJX.

MuJoCo lays the first tangent of a capsule's contact with a plane along the capsule always, MJX only where the capsule
lies rather flat (MuJoCo's issue 2774). Friction pyramids turn with the tangents, so a steep foot slides differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp

from morl.errors import UserError

_tracing = Lock()


@cache
def _inside_mjx() -> tuple[dict[Any, Any], Any, Any]:
    """MJX's table of collision functions, the entry for a plane and a capsule, and ours for it.

    Raises:
        UserError: this release of MJX has no such table.
    """
    try:
        from mujoco.mjx._src.collision_driver import _COLLISION_FUNC
        from mujoco.mjx._src.collision_primitive import _plane_sphere, collider
        from mujoco.mjx._src.types import GeomType

        entry = (GeomType.PLANE, GeomType.CAPSULE)
        _ = _COLLISION_FUNC[entry]
    except (ImportError, KeyError) as error:
        from importlib.metadata import version

        raise UserError(
            f"mujoco-mjx {version('mujoco-mjx')} keeps its collisions otherwise than morl knows them; "
            "install mujoco-mjx 3.17, or take the environment on the host"
        ) from error

    def plane_capsule(plane: Any, capsule: Any) -> Any:
        normal, axis = plane.mat[:, 2], capsule.mat[:, 2]
        tangent = axis - normal * jnp.dot(normal, axis)
        length = jnp.linalg.norm(tangent)
        # one that stands upright has none of its own
        tangent = jnp.where(length > 0, tangent / jnp.where(length > 0, length, 1.0), plane.mat[:, 0])
        frame = jnp.stack([normal, tangent, jnp.cross(normal, tangent)])[None]
        ends = [capsule.pos + sign * capsule.size[1] * axis for sign in (1, -1)]
        hits = [_plane_sphere(normal, plane.pos, end, capsule.size[0]) for end in ends]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *[(dist[None], pos[None], frame) for dist, pos in hits])

    return _COLLISION_FUNC, entry, collider(ncon=2)(plane_capsule)


def check() -> None:
    """Fails early where ``as_in_mujoco`` would.

    Raises:
        UserError: this release of MJX is not one we know the inside of.
    """
    _inside_mjx()


@contextmanager
def as_in_mujoco() -> Iterator[None]:
    """What is traced inside has MuJoCo's tangents; MJX elsewhere in the process stays as it is."""
    table, entry, collide = _inside_mjx()
    with _tracing:
        before, table[entry] = table[entry], collide
        try:
            yield
        finally:
            table[entry] = before
