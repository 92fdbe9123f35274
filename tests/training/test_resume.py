"""A training that is stopped, killed or damaged goes on as if nothing had happened."""

import dataclasses
import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import morl
import tests.tiny
from morl import registry
from morl.agents.cmorl import CMORLConfig
from morl.agents.d3po import D3POConfig
from morl.agents.dsac import SeparateSACConfig
from morl.agents.gmorl import GMORLConfig
from morl.agents.gpi_ls import GPILSConfig
from morl.agents.mogfn import MOGFNConfig
from morl.analysis.results import read
from morl.errors import UserError
from morl.runs import storage
from morl.runs.csv import CsvWriter
from morl.runs.loggers import recorder
from morl.runs.loggers.tensorboard import TensorBoardWriter
from morl.settings import TrainSettings
from morl.training import checkpointing
from morl.training import results as training_results
from morl.training.progress import Progress, from_json
from morl.types import MetricSums
from tests.tiny import TinyConfig
from tests.training.test_loop import metric_rows

ROOT = Path(__file__).parents[2]
SETTINGS = TrainSettings(
    env="fruit-tree-v0",  # untrained policies make a front there already
    env_kwargs={"depth": 5},
    steps=640,
    evaluations=2,
    eval_episodes=2,
    final_episodes=2,
    checkpoint_minutes=0.0,
)
REPLAY = {"num_envs": 4, "rollout_steps": 8, "gradient_steps": 2, "batch_size": 16, "replay_capacity": 320}
AGENTS = {
    # all but gmorl, gpi-ls and d3po: ten updates, six and two rounds of two
    "tiny": TinyConfig(),
    "cmorl": CMORLConfig(num_policies=2, num_envs=8, rollout_steps=16, hidden=(8,), extension_updates=2, epochs=2),
    "d3po": D3POConfig(num_envs=4, rollout_steps=8, hidden=(8,), minibatches=2, epochs=2, num_preferences=5),
    "gmorl": GMORLConfig(**REPLAY, learning_starts=64, hidden=(8,), num_preferences=5),
    "gpi-ls": GPILSConfig(**REPLAY, learning_starts=64, hidden=(8, 8), num_preferences=5, rotation_steps=64),
    "mogfn": MOGFNConfig(batch=8, width=8, num_blocks=1, num_heads=1, replay_batch=4, num_preferences=5),
    "dsac": SeparateSACConfig(**REPLAY, learning_starts=64, hidden=(8,), num_policies=2),
}


def start(out, agent="tiny", after=None, **changes):
    """Train and return the run, complete or stopped when ``should_stop`` is asked for the ``after``-th time."""
    looks = []

    def stop():
        looks.append(None)
        return len(looks) == after

    settings = dataclasses.replace(SETTINGS, out=out, **changes)
    return morl.train(agent, settings, AGENTS[agent], should_stop=stop)


def resume(path, after=None):
    looks = []

    def stop():
        looks.append(None)
        return len(looks) == after

    return morl.train(resume=path, should_stop=stop)


def results(path):
    return metric_rows(path), (path / "front.csv").read_text()


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)
        patch.setattr("morl.training.learning.CHUNK_SECONDS", 0.0)  # one update a chunk, however fast the machine is
        yield


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Cache compiled programs on disk, as most trainings here run the same ones; yield the variables for processes."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    place = before[0] or str(tmp_path_factory.mktemp("compiled"))
    jax.config.update("jax_compilation_cache_dir", place)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()
    yield {"JAX_COMPILATION_CACHE_DIR": place, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the results of a training that was never interrupted."""
    return results(start(tmp_path_factory.mktemp("whole") / "run").path)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return the path of a run stopped in the first stage; not to be written to."""
    return start(tmp_path_factory.mktemp("stopped") / "run", after=2).path


def test_a_stopped_training_goes_on_bit_for_bit(stopped, whole, tmp_path):
    """Stopped in the first stage, stopped in a round of the second, and gone through."""
    assert results(stopped)[0] != whole[0]
    assert whole[1].count("\n") > 2
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    assert not resume(path, after=6).finished
    assert int(metric_rows(path)[-1]["step"]) > 6 * 64
    run = resume(path)
    assert run.finished
    assert results(path) == whole
    log = (path / "log.txt").read_text()
    assert log.count("resumed at step") == 2
    assert "checkpoints took" in log
    assert morl.load(path).front.returns.tolist() == run.front.returns.tolist()


@pytest.mark.parametrize(
    ("agent", "changes"),
    [
        ("cmorl", {"steps": 2560}),
        pytest.param("d3po", {"steps": 320}, marks=pytest.mark.slow),
        pytest.param("gmorl", {"steps": 320}, marks=pytest.mark.slow),
        pytest.param("gpi-ls", {"steps": 320}, marks=pytest.mark.slow),
        pytest.param("dsac", {"steps": 640}, marks=pytest.mark.slow),
        pytest.param("mogfn", {"env": "hypergrid-v0", "env_kwargs": {}, "steps": 80}, marks=pytest.mark.slow),
    ],
)
def test_so_does_one_of_every_agent(agent, changes, tmp_path):
    """Replay, running statistics, optimisers, constraints; stopped after most of it."""
    reference = results(start(tmp_path / "whole", agent, **changes).path)
    path = start(tmp_path / "run", agent, after=4, **changes).path
    assert metric_rows(path) != reference[0]
    resume(path)
    assert results(path) == reference


def test_steps_are_counted_beyond_what_32_bits_hold():
    progress = Progress(taken=[set()])
    for _ in range(3):
        progress.add(MetricSums(np.ones(2, np.float32), {"loss": np.zeros(2, np.float32)}), 1, 2**31, 1.0)
    read = from_json(json.loads(json.dumps(progress.as_json())), num_policies=2, num_seeds=1, stages=1)
    assert read == progress
    assert read.steps == 3 * 2**31


VICTIM = """
import sys, tests.tiny
from pathlib import Path
from morl import register_agent
sys.path.insert(0, "benchmarks")
import chaos
register_agent(tests.tiny.SPEC)
chaos.victim(Path(sys.argv[1]), float(sys.argv[2]))
"""


def test_a_killed_training_goes_on_bit_for_bit(stopped, whole, compiled, tmp_path):
    """SIGKILL a moment after the first piece of work, twice; ``benchmarks/chaos.py kills`` does it twenty times."""
    path, environment = tmp_path / "run", {**os.environ, **compiled}
    shutil.copytree(stopped, path)
    killed = 0
    for delay in ("0.01", "0.1"):
        command = [sys.executable, "-c", VICTIM, str(path), delay]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr
        killed += done.returncode != 0
    assert killed
    resume(path)
    assert results(path) == whole


def test_a_run_goes_on_from_the_last_whole_checkpoint(stopped, whole, tmp_path):
    """The newest is cut off, an unfinished one is left over, and rows are written that no checkpoint knows of."""
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    newest, before = storage.states(path / "checkpoints")
    os.truncate(newest, newest.stat().st_size // 2)
    (path / "checkpoints" / ".state-000009.npz.tmp").write_bytes(b"half")
    with (path / "metrics.csv").open("a") as file:
        file.write("1,2,3\n")
    run = resume(path)
    assert results(path) == whole
    log = (path / "log.txt").read_text()
    assert f"left out: cannot read the checkpoint {newest}: it is damaged" in log
    assert {entry.name for entry in (path / "checkpoints").iterdir()} == {"final.npz", "front"}
    steps = [int(row["step"]) for row in metric_rows(path)]
    assert steps == sorted(set(steps))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    assert resume(path).front.returns.tolist() == run.front.returns.tolist()
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before  # a finished run is left alone


def test_a_checkpoint_whose_archive_has_no_errors_and_episodes_goes_on(stopped, whole, tmp_path):
    """Earlier versions wrote neither. They are unknown, and as all evaluations have as many episodes decide nothing."""
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    for state in storage.states(path / "checkpoints"):
        with zipfile.ZipFile(state) as file:
            members = {name: file.read(name) for name in file.namelist()}
        assert {"['kept'].stderr.npy", "['kept'].episodes.npy"} <= members.keys()
        with zipfile.ZipFile(state, "w", zipfile.ZIP_STORED) as file:
            for name, data in members.items():
                if name not in ("['kept'].stderr.npy", "['kept'].episodes.npy"):
                    file.writestr(name, data)
    resume(path)
    assert "resumed at step" in (path / "log.txt").read_text()
    assert results(path) == whole


def test_tensorboard_shows_each_step_once(stopped, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    resume(path)
    events = EventAccumulator(str(path)).Reload()
    seen = [(e.step, e.value) for e in events.Scalars("seed_0/hypervolume")]
    rows = metric_rows(path)
    assert seen == [(int(row["step"]), pytest.approx(float(row["hypervolume"]))) for row in rows]
    assert len(list(path.glob("events.*"))) == 2


def refused(path, message):
    """Check that resuming is refused before anything but the log is written."""
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=message):
        resume(path)
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    before.pop(path / "log.txt")
    assert {file: data for file, data in after.items() if file != path / "log.txt"} == before


def change(path, old, new):
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: change(run / "config.yaml", "step: 0.5", "step: 0.6"),
            "step was 0.5 when .*and config.yaml says 0.6",
        ),
        (
            lambda run: [os.truncate(x, 99) for x in storage.states(run / "checkpoints")],
            "no checkpoint of .* damaged",
        ),
        (lambda run: shutil.rmtree(run / "checkpoints"), "has no checkpoints/"),
        (lambda run: (run / "front.csv").rename(run / "x") and (run / "front.csv").symlink_to("x"), "csv is a link"),
    ],
)
def test_what_cannot_be_resumed(damage, message, stopped, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    damage(path)
    refused(path, message)


def test_a_run_that_another_process_writes_is_left_to_it(stopped, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    with (path / "log.txt").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        refused(path, "is being written by another process")


def test_a_setting_that_came_after_the_checkpoint_was_its_default(tmp_path, whole, monkeypatch):
    """Resume a checkpoint that lacks a setting, as earlier versions write it: it had the default and no other value."""
    with monkeypatch.context() as earlier:
        known = checkpointing.fixed_settings
        earlier.setattr(
            checkpointing, "fixed_settings", lambda all: {k: v for k, v in known(all).items() if k != "step"}
        )
        path = start(tmp_path / "run", after=2).path
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    assert resume(path).finished
    assert results(path) == whole
    change(copy / "config.yaml", "step: 0.5", "step: 0.6")
    refused(copy, "step was 0.5 when .*and config.yaml says 0.6")


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_error_and_costs_nothing(stopped, whole, tmp_path, monkeypatch):
    """Fill the disk at a checkpoint, at a row of metrics.csv and at the front in turn; then resume with free space."""
    path = tmp_path / "run"
    shutil.copytree(stopped, path)
    places = [(storage.npy, "write_array"), (recorder.CsvWriter, "write"), (storage, "replacing")]
    for module, name in places:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(
                UserError, match=r"cannot write .*run: No space left on device; state-\d+.npz is intact"
            ):
                resume(path)
        assert not [file for file in path.rglob(".*") if file.is_file()]
        morl.load(path)  # the front of the early stop
    resume(path)
    assert results(path) == whole


def test_a_front_that_is_not_read_back_is_not_there(stopped, whole, tmp_path, monkeypatch):
    path, csv_of = tmp_path / "run", training_results.to_csv
    shutil.copytree(stopped, path)
    with monkeypatch.context() as patch:
        patch.setattr(training_results, "to_csv", lambda fronts: csv_of(fronts)[:-30])
        with pytest.raises(
            UserError, match=r"cannot write .*run: front\.csv cannot be read back: .*; state-\d+.npz is intact"
        ):
            resume(path)
    assert not (path / "front.csv").exists()
    resume(path)
    assert results(path) == whole


def test_an_event_that_a_full_disk_cut_is_as_if_it_had_not_been(tmp_path):
    """A limit on the size of files stands for the disk."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    writer = TensorBoardWriter(tmp_path)
    writer.scalars({"a": 1.0}, 1)
    (path,) = tmp_path.iterdir()
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
        with pytest.raises(OSError, match="File too large"):
            writer.scalars({"a": 2.0}, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    writer.scalars({"a": 3.0}, 3)
    writer.close()
    assert [event.step for event in EventFileLoader(str(path)).Load()] == [0, 1, 3]


def test_a_read_only_path_is_one_error(tmp_path, monkeypatch):
    """Check that nothing of the new run is left."""

    def read_only(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", os.fspath(path))

    path = tmp_path / "new" / "run"
    monkeypatch.setattr(os, "mkdir", read_only)
    with pytest.raises(UserError, match=r"cannot write to the run directory .*run: Read-only file system"):
        morl.train("tiny", dataclasses.replace(SETTINGS, out=path), AGENTS["tiny"])
    assert not list(tmp_path.iterdir())


def test_a_run_directory_that_is_gone_is_one_error(tmp_path):
    path = tmp_path / "run"
    settings = dataclasses.replace(SETTINGS, out=path, checkpoint_minutes=10.0)
    with pytest.raises(UserError, match=r"cannot write to the run directory .*: No such file or directory"):
        morl.train("tiny", settings, AGENTS["tiny"], should_stop=lambda: shutil.rmtree(path, ignore_errors=True))


def test_host_environments_start_anew(tmp_path):
    """The learners go on exactly; the episodes under way are lost, and the next ones are others."""
    path = start(tmp_path / "run", after=2, env="deep-sea-treasure-v0", env_kwargs={}, backend="host").path
    assert resume(path).finished
    assert [row["step"] for row in metric_rows(path)][-1] == "640"


def test_a_checkpoint_row_is_whole_or_not_there(tmp_path):
    writer = CsvWriter(tmp_path / "m.csv")
    writer.write({"a": 1, "b": 2})
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        writer.write({"a": 1, "c": 2})
    end = writer.position()
    writer.write({"a": 3, "b": 4})
    writer.close()
    again = CsvWriter(tmp_path / "m.csv", end)
    again.write({"b": 6, "a": 5})
    again.close()
    assert (tmp_path / "m.csv").read_text() == "a,b\n1,2\n5,6\n"
    for name, size in (("m.csv", 12), ("gone.csv", 0)):
        with pytest.raises(UserError, match=rf"{name} has {size} bytes, and had 99"):
            CsvWriter(tmp_path / name, 99)


def test_a_run_of_a_version_with_other_metrics_goes_on(monkeypatch, tmp_path):
    """The file keeps its columns: newer metrics are left out, those that are gone are NaN."""
    with monkeypatch.context() as patch:
        patch.setattr("morl.training.results.objective_metrics", lambda points, objectives: {"gone": 1.0})
        path = start(tmp_path / "run", after=7).path
    before = metric_rows(path)
    assert resume(path).finished
    rows = metric_rows(path)
    assert len(rows) > len(before) > 0
    assert [set(row) for row in rows] == [set(before[0])] * len(rows)
    assert (rows[0]["gone"], rows[-1]["gone"]) == ("1.0", "nan")
    assert float(rows[-1]["hypervolume"]) > 0
    assert read([path])[0].history[0]["hypervolume"].shape == (len(rows),)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for i in range(4):
        storage.save_state(tmp_path, {"a": np.full(2, i)}, {"i": i}, keep=2)
    kept = storage.states(tmp_path)
    assert [path.name for path in kept] == ["state-000004.npz", "state-000003.npz"]
    assert [storage.load_notes(path)["i"] for path in kept] == [3, 2]
    assert storage.load_state(kept[0], {"a": np.zeros(2, int)})["a"].tolist() == [3, 3]
    with pytest.raises(UserError, match="wants"):
        storage.load_state(kept[0], {"a": np.zeros(3, int)})


def test_bfloat16_is_read_back():
    """NumPy's own format does not know it."""
    import ml_dtypes

    with tempfile.TemporaryDirectory() as place:
        tree = {"a": np.array([1.5, -2.0], ml_dtypes.bfloat16)}
        loaded = storage.load_state(storage.save_state(Path(place), tree, {}, keep=1), tree)
    assert (loaded["a"].dtype, loaded["a"].tolist()) == (ml_dtypes.bfloat16, [1.5, -2.0])


def test_by_default_checkpoints_take_little_of_the_time(tmp_path, monkeypatch):
    """One that takes 30 s waits for 25 minutes."""
    now = 0.0
    monkeypatch.setattr(checkpointing.time, "perf_counter", lambda: now)
    saver = checkpointing.Saver(tmp_path, TrainSettings())
    now = 599.0
    assert not saver.due()
    now = 600.0
    assert saver.due()
    saver._took = 30.0
    now = 1499.0
    assert not saver.due()
    now = 1500.0
    assert saver.due()
