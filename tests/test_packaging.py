"""The wheel, the sources and the editable install all give the same package, wherever Python starts."""

import os
import subprocess
import sys
import zipfile
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTS = "import morl, morl.envs.classic.minecart, morl.agents.cmorl.algorithm, morl.tune; print(morl.__file__)"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"  # a copy without build leftovers, links kept, as a clone has them
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")[:-1]
    for name in names:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        elif (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_every_module_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {name for name in names if name.endswith(".py")}
    folders = {"morl/": ROOT / "morl", **{f"morl/{name}/": ROOT / name for name in ("envs", "agents", "tune")}}
    expected = {
        f"{prefix}{path.relative_to(folder).as_posix()}"
        for prefix, folder in folders.items()
        for path in folder.rglob("*.py")  # links, such as morl/envs, are not followed
    }
    assert len(expected) > 200
    assert modules == expected
    data = ("py.typed", "envs/classic/fruits.csv", "report/page.html", "report/page.js")
    skeletons = ("env/pyproject.toml", "env/tests/test_PACKAGE.py", "agent/PACKAGE/agent.py", "agent/README.md")
    assert {f"morl/{name}" for name in data} <= set(names)
    assert {f"morl/skeletons/{name}.template" for name in skeletons} <= set(names)
    assert len(names) == len(set(names))


def test_the_wheel_works_away_from_the_sources(wheel, tmp_path):
    """Put the unpacked wheel on the path, ahead of the editable install."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert Path(done.stdout.strip()) == site / "morl" / "__init__.py"
    command = [sys.executable, "-m", "morl", "envs"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert "minecart-v0" in done.stdout


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_the_installed_package_works(where, tmp_path):
    cwd = ROOT if where == "root" else tmp_path
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=cwd, capture_output=True, text=True, check=True, timeout=120
    )
    assert Path(done.stdout.strip()) == ROOT / "morl" / "__init__.py"


def _front_of_a_map(name):
    import morl

    return morl.make(name).true_front(1.0).tolist()


def test_a_spawned_process_sees_the_package():
    with get_context("spawn").Pool(1) as pool:
        (front,) = pool.map(_front_of_a_map, ["deep-sea-treasure-v0"])
    assert front[0] == [pytest.approx(0.7), -1.0]


RAY = """
import os
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
import ray

@ray.remote
def length(name):
    import morl
    return len(morl.make(name).true_front(1.0))

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
print(ray.get(length.remote("deep-sea-treasure-v0"), timeout=60))
ray.shutdown()
"""


def test_a_ray_worker_sees_the_package(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RAY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout.strip().splitlines()[-1:] == ["10"], done.stderr


LIGHT = """
import sys
import morl, morl.cli, morl.registry, morl.envs, morl.agents
morl.registry.env_specs(), morl.registry.agent_specs()
heavy = {"jax", "torch", "ray", "matplotlib", "equinox", "tensorboard", "tensorboardX", "mo_gymnasium", "pygame"}
print(sorted(set(sys.modules) & heavy))
"""


WORKER = """
import sys
import morl.tune.worker
print(sorted(set(sys.modules) & {"jax", "ray", "torch", "matplotlib"}))
"""


EVENTS = """
import sys, tempfile
from pathlib import Path
import numpy as np
from morl.runs.loggers.tensorboard import TensorBoardWriter
writer = TensorBoardWriter(Path(tempfile.mkdtemp()))
writer.text("config", "a: 1")
writer.image("front", np.zeros((2, 2, 3), np.uint8), 1)
writer.hparams({"a": 1}, {"b": 2.0}, 1)
print(sorted(set(sys.modules) & {"jax", "torch", "tensorboardX", "tensorflow", "matplotlib"}))
"""


@pytest.mark.parametrize("script", [LIGHT, WORKER, EVENTS], ids=["package", "trial", "events"])
def test_importing_is_light(script):
    """A trial's cores, device and cache of compiled programs are settled before JAX is imported."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


STARTED = """
import importlib, pkgutil
import morl, jax
for module in pkgutil.walk_packages(morl.__path__, "morl."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
jax.config.update("jax_num_cpu_devices", 3)  # JAX refuses it once it has started
jax.config.update("jax_platforms", "cpu")
print(len(jax.devices()))
"""


def test_importing_every_module_starts_no_device():
    """Device and memory are chosen after imports: by flags, and by a study for its trials."""
    command = [sys.executable, "-W", "ignore", "-c", STARTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip().splitlines()[-1:] == ["3"], done.stderr
