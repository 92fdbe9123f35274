"""Two virtual CPU devices, so that every test runs the split over devices; another by MORL_TEST_PLATFORM=cuda."""

import os

import jax
import pytest

from morl.settings import TrainSettings
from morl.training import train

jax.config.update("jax_platforms", os.environ.get("MORL_TEST_PLATFORM", "cpu"))
jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(scope="session")
def dst_run(tmp_path_factory):
    """A finished run of two seeds on deep-sea-treasure, long enough to have learnt most of it."""
    out = tmp_path_factory.mktemp("runs") / "dst"
    settings = TrainSettings(
        env="deep-sea-treasure-v0",
        steps=500_000,
        num_seeds=2,
        seed=5,
        out=out,
        reference_point=(0.0, -25.0),
        evaluations=8,
        eval_episodes=2,
        final_episodes=2,
    )
    return train("cmorl", settings)
