"""MuJoCo's contact directions for MJX.

MuJoCo always directs the first tangent of a contact between capsule and plane along the capsule; MJX does so only for a
capsule that lies rather flat (MuJoCo's issue 2774). Friction pyramids turn with the tangents, so that a steep foot
slides differently.
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
    """Return MJX's table of collision functions, its key for plane and capsule, and our function for that key.

    Raises:
        UserError: the installed release of MJX has no such table.
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
        # an upright capsule has no direction in the plane
        tangent = jnp.where(length > 0, tangent / jnp.where(length > 0, length, 1.0), plane.mat[:, 0])
        frame = jnp.stack([normal, tangent, jnp.cross(normal, tangent)])[None]
        ends = [capsule.pos + sign * capsule.size[1] * axis for sign in (1, -1)]
        hits = [_plane_sphere(normal, plane.pos, end, capsule.size[0]) for end in ends]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *[(dist[None], pos[None], frame) for dist, pos in hits])

    return _COLLISION_FUNC, entry, collider(ncon=2)(plane_capsule)


def check() -> None:
    """Raise early where :func:`as_in_mujoco` would.

    Raises:
        UserError: the installed release of MJX is not supported.
    """
    _inside_mjx()


@contextmanager
def as_in_mujoco() -> Iterator[None]:
    """Use MuJoCo's tangents in functions traced within the block; other uses of MJX are not affected."""
    table, entry, collide = _inside_mjx()
    with _tracing:
        before, table[entry] = table[entry], collide
        try:
            yield
        finally:
            table[entry] = before
