"""Two virtual CPU devices, so that every test runs the split over devices; another by MORL_TEST_PLATFORM=cuda."""

import atexit
import fcntl
import gc
import os
import shutil
import tempfile

# Most of the tests' time is compilation of small programs: two fifths of it without optimisation and with XLA's older
# emitter of loops. XLA_FLAGS="" compiles them as users' programs are.
if "MORL_TEST_PLATFORM" not in os.environ:
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

# Each worker of the run has a core. Left to itself, PyTorch takes two and waits for them: several times the time for
# one Gaussian process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Broadcasting arrays of different rank is an error here: an axis of policies or objectives that lines up with another
# one by accident gives numbers and no exception. In the environment, so that commands that tests start have it too.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

# Programs that several tests run are compiled once, by whichever worker or command comes to them first. Commands have a
# folder of their own, without a limit to its size: with one, JAX reads the whole folder at each write.
if "PYTEST_XDIST_WORKER" not in os.environ and "MORL_TEST_CACHE" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["MORL_TEST_CACHE"]  # kept from run to run, for daily work
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
elif "PYTEST_XDIST_WORKER" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="morl-tests-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import pytest
from jax._src.lru_cache import LRUCache

from morl.agents.cmorl import CMORLConfig
from morl.loading import load
from morl.settings import TrainSettings
from morl.training.loop import train
from tests.long import is_long

# Tracing makes millions of small objects that live on; looking for garbage among them costs a tenth of the time.
gc.set_threshold(100_000, 50, 100)
jax.config.update("jax_platforms", os.environ.get("MORL_TEST_PLATFORM", "cpu"))
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_compilation_cache_dir", os.path.join(os.environ["JAX_COMPILATION_CACHE_DIR"], "of-workers"))

# Without a limit to the folder's size, a worker may read a part of what another one writes, which is a warning and here
# an error. With one, JAX locks the folder, and adds up the sizes of all that is in it at each write: half a second in
# the middle of a run. Nothing has to be dropped here.
jax.config.update("jax_compilation_cache_max_size", 2**34)
LRUCache._evict_if_needed = lambda self, *, additional_size=0: None


# The tier `pytest -m smoke`: under a minute in all on two cores, each test telling. Files, folders and tests.
SMOKE = (
    "tests/cli/test_cli.py::test_lists",
    "tests/cli/test_cli.py::test_mistakes_are_one_line_and_exit_code_2",
    "tests/ops/test_archive.py::test_masked_crowding_distance",
    "tests/ops/test_masking.py",
    "tests/ops/test_metrics.py::test_by_hand",
    "tests/ops/test_pareto.py::test_crowding_distance_by_hand",
    "tests/ops/test_replay.py::test_the_oldest_rows_are_overwritten",
    "tests/ops/test_returns.py",
    "tests/ops/test_running_statistics.py",
    "tests/test_api.py",
    "tests/test_registry.py",
    "tests/test_smoke.py",
    "tests/test_structure.py",
)


def _is_smoke(path: str) -> bool:
    return any(path == entry or path.startswith((f"{entry}/", f"{entry}::", f"{entry}[")) for entry in SMOKE)


# Files that take longest, of few tests or tests that wait: begun first, so that no worker is left with one at the end.
FIRST = (
    "tests/tune/test_study.py",
    "tests/docs/test_examples.py",
    "tests/training/test_loop.py",
    "tests/docs/test_docs.py",
    "tests/training/test_conditional.py",
)


def pytest_collection_modifyitems(items):
    """Put the longest files first, and mark the smoke tests."""
    items.sort(key=lambda item: FIRST.index(file) if (file := item.nodeid.partition("::")[0]) in FIRST else len(FIRST))
    for item in items:
        if is_long(item.nodeid):
            item.add_marker(pytest.mark.slow)
        if _is_smoke(item.nodeid) and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.smoke)


def pytest_ignore_collect(collection_path, config):
    """Import no module without a smoke test for ``-m smoke``: that takes longer than the tests."""
    if config.option.markexpr != "smoke" or collection_path.suffix != ".py":
        return None
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if not _is_smoke(path) and not any(entry.startswith(f"{path}::") for entry in SMOKE) else None


@pytest.fixture
def optimised(monkeypatch):
    """Compile trainings as users do, for tests that compute for longer than they compile.

    The variable is read by :func:`morl.training.backends.devices.quick_to_compile` and by processes that a test starts.
    """
    monkeypatch.setenv("XLA_FLAGS", "")


@pytest.fixture(scope="session")
def dst_run(tmp_path_factory):
    """A finished run of two seeds on deep-sea-treasure, long enough to have learnt most of it.

    The workers share it: the first one to ask trains, another reads it from its directory.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out = shared / "dst"
    with (shared / "dst.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (out / "front.csv").exists():
            return load(out)
        settings = TrainSettings(
            env="deep-sea-treasure-v0",
            steps=250_000,
            num_seeds=2,
            seed=5,
            out=out,
            reference_point=(0.0, -25.0),
            evaluations=8,
            eval_episodes=2,
            final_episodes=2,
        )
        # as little computing as learns it
        config = CMORLConfig(
            num_envs=32, rollout_steps=32, epochs=4, minibatches=4, hidden=(32, 32), learning_rate=3e-3
        )
        return train("cmorl", settings, config)
