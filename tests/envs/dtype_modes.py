"""JAX's modes that change the dtypes of what states none, or refuse to mix dtypes."""

import contextlib

import jax

MODES = {
    "x64": {"jax_enable_x64": True},
    "strict": {"jax_numpy_dtype_promotion": "strict"},
    "x64-strict": {"jax_enable_x64": True, "jax_numpy_dtype_promotion": "strict"},
}


@contextlib.contextmanager
def dtype_mode(name):
    """Run in one of these modes; "plain" is none of them."""
    changes = MODES.get(name, {})
    before = {flag: getattr(jax.config, flag) for flag in changes}
    for flag, value in changes.items():
        jax.config.update(flag, value)
    try:
        yield
    finally:
        for flag, value in before.items():
            jax.config.update(flag, value)
