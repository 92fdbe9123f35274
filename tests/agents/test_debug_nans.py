"""A tiny training of every registered agent with ``jax_debug_nans``: no compiled function gives a NaN anywhere.

Run by ``pytest -m nans``.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from tests.agents.test_conformance import CASES, settings_of


@pytest.fixture
def debug_nans():
    """Raise ``FloatingPointError`` where a compiled function gives a NaN."""
    jax.config.update("jax_debug_nans", True)
    yield
    jax.config.update("jax_debug_nans", False)


@pytest.mark.nans
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.usefixtures("debug_nans")
def test_training_gives_no_nan(name, tmp_path):
    settings, config = settings_of(name, out=tmp_path / "run")
    run = morl.train(name, settings, config)
    assert run.finished
    assert np.isfinite(run.front.returns).all()


@pytest.mark.usefixtures("debug_nans")
def test_a_nan_within_a_compiled_function_is_found():
    with pytest.raises(FloatingPointError):
        jax.jit(lambda x: jnp.where(x > 0, 0.0, x / x))(jnp.zeros(2))
