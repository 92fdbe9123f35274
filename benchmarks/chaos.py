"""Faults injected into trainings: kills, torn checkpoints, a full disk, NaN rewards, lost workers and junk input.

    python benchmarks/chaos.py                  # everything; prints a table
    python benchmarks/chaos.py kills --number 20
    python benchmarks/chaos.py fuzz --number 10000
    python benchmarks/chaos.py haul --minutes 60   # memory, threads and open files of a long training

Each fault is injected into a tiny training of its own, whose result is compared with that of an undisturbed one:
``metrics.csv`` (without its two columns of times) and ``front.csv``, byte for byte. A full disk is a tmpfs of a few
megabytes, where mounting one is allowed; else writes are made to fail.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

Row = tuple[str, int, int, str]
TIMES = ("seconds", "steps_per_second")


def settings(out: Path, **changes: Any) -> Any:
    """Return settings of the tiny training: ten updates (six, then two rounds of two) with frequent checkpoints."""
    from morl.settings import TrainSettings

    values = {
        "env": "fruit-tree-v0",  # untrained policies make a front there already
        "env_kwargs": {"depth": 5},
        "steps": 2560,
        "evaluations": 5,
        "eval_episodes": 2,
        "final_episodes": 2,
        "checkpoint_minutes": 0.0,
        "out": out,
    }
    return TrainSettings(**{**values, **changes})


def config() -> Any:
    """Return the config of the agent of :func:`settings`: C-MORL with two small policies."""
    from morl.agents.cmorl import CMORLConfig

    return CMORLConfig(num_policies=2, num_envs=8, rollout_steps=16, hidden=(8,), extension_updates=2, epochs=2)


def victim(path: Path, delay: float) -> int:
    """Train in ``path``, new or resumed, and kill this process ``delay`` seconds after the first piece of work."""
    from morl.training.loop import train

    class Killer:
        begin = 0.0

        def start(self, headline: str, path: Path) -> None: ...
        def note(self, text: str) -> None: ...
        def update(self, status: Any) -> None:
            if not self.begin:
                self.begin = time.monotonic()
                if delay >= 0:
                    threading.Thread(target=self.kill, daemon=True).start()

        def kill(self) -> None:
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGKILL)

    killer = Killer()
    if (path / "config.yaml").exists():
        train(resume=path, reporter=killer)
    else:
        train("cmorl", settings(path), config(), reporter=killer)
    print(time.monotonic() - killer.begin)
    return 0


def run_victim(path: Path, delay: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run :func:`victim` in a process of its own; return the process, ended or killed."""
    command = [sys.executable, __file__, "victim", "--run", str(path), "--delay", str(delay)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def results(path: Path) -> tuple[list[dict[str, str]], str]:
    """Return the rows of metrics.csv without their times, and the text of front.csv: what must not change."""
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows], (path / "front.csv").read_text()


def kills(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """SIGKILL at random moments of all that follows the first piece of work, over as many trainings as it takes."""
    span = float(run_victim(place / "timed", -1.0).stdout.split()[-1])
    tried = same = finished = 0
    while tried < number:
        path = place / f"killed-{finished}"
        for _ in range(200):
            done = run_victim(path, rng.uniform(0.0, span) if tried < number else -1.0)
            if done.returncode == 0:
                break
            if done.returncode != -signal.SIGKILL:
                raise SystemExit(done.stderr)
            tried += 1
        finished += 1
        same += results(path) == whole
    return [("SIGKILL at a random moment", tried, tried if same == finished else 0, f"{same} of {finished} runs equal")]


def torn(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """The newest checkpoint cut off, or with a byte changed, before a training goes on."""
    from morl.runs import storage
    from morl.training.loop import train

    begun = place / "begun"
    looks: list[None] = []
    train("cmorl", settings(begun), config(), should_stop=lambda: looks.append(None) or len(looks) == 3)
    rows = []
    for name, damage in (("cut off", _cut), ("a byte changed", _flip)):
        same = 0
        for i in range(number):
            path = place / f"{name.split()[0]}-{i}"
            shutil.copytree(begun, path)
            damage(storage.states(path / "checkpoints")[0], rng)
            train(resume=path)
            same += results(path) == whole
        rows.append((f"newest checkpoint {name}", number, same, "none: from the one before it"))
    return rows


def _cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def disk(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """A full disk while training; then there is room again."""
    from morl.errors import UserError
    from morl.training.loop import train

    mounted = place / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return [("full disk (tmpfs)", 0, 0, "no tmpfs can be mounted here")]
    survived = 0
    try:
        for i in range(number):
            path, ballast = mounted / f"run-{i}", mounted / "ballast"
            left, looks = rng.randrange(20_000, 800_000), []

            def fill(ballast: Path = ballast, left: int = left, looks: list[None] = looks) -> bool:
                looks.append(None)
                if len(looks) == 2:
                    ballast.write_bytes(bytes(shutil.disk_usage(mounted).free - left))
                return False

            try:
                train("cmorl", settings(path), config(), should_stop=fill)
            except UserError as error:
                if "No space left on device" not in str(error):
                    raise
            ballast.unlink()
            leftovers = [file for file in path.rglob(".*") if file.is_file()]
            train(resume=path)
            survived += results(path) == whole and not leftovers
            shutil.rmtree(path)
    finally:
        subprocess.run(["umount", str(mounted)], check=False)
    return [("disk full, then room again", number, survived, "none: resumed")]


def signals(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """SIGTERM: the chunk is finished, a checkpoint and the front are written; then resumed."""
    good = 0
    for i in range(number):
        path = place / f"term-{i}"
        flags = ["--resume", str(path)] if path.exists() else _flags(path)
        process = subprocess.Popen(
            [sys.executable, "-m", "morl", "train", *flags], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        states = path / "checkpoints"
        while process.poll() is None and not list(states.glob("state-*.npz")):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=600)
        assert process.returncode in (0, 3), stderr
        assert (path / "front.csv").exists(), stderr
        done = run_victim(path, -1.0)
        good += done.returncode == 0 and results(path) == whole
    return [("SIGTERM, then resumed", number, good, "none")]


def _flags(path: Path) -> list[str]:
    values = {**dataclasses.asdict(config()), **dataclasses.asdict(settings(path))}
    names = ("env", "steps", "evaluations", "eval_episodes", "final_episodes", "checkpoint_minutes", "out")
    names += ("num_policies", "num_envs", "rollout_steps", "extension_updates", "epochs")
    pairs = [text for name in names for text in (f"--{name.replace('_', '-')}", str(values[name]))]
    return ["cmorl", *pairs, "--hidden", "8", "--env-kwargs", "depth", "5"]


def workers(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """Worker processes of a host environment killed, and stopped so that they hang."""
    import morl

    rows = []
    for name, number_of_signal, patience in (("killed", signal.SIGKILL, 60.0), ("hanging", signal.SIGSTOP, 3.0)):
        survived = lost = 0
        for _ in range(number):
            envs = morl.make("deep-sea-treasure-v0", backend="host").make_vector(4, processes=2, restarts=2)
            pool: Any = envs._envs
            pool._patience = patience
            envs.reset(seed=0)
            actions = [0, 1, 0, 1]
            envs.step(actions)
            os.kill(pool._workers[rng.randrange(2)].pid, number_of_signal)
            lost += int(envs.step(actions).lost.sum())
            survived += not envs.step(actions).lost.any() and len(envs.incidents()) == 1
            envs.close()
        rows.append((f"environment worker {name}", number, survived, f"{lost} steps"))
    return rows


def fuzz(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """Random command lines, settings files, front.csv and checkpoints."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.runs import junk

    rows = []
    for name, attempt in junk.ATTEMPTS.items():
        failed = []
        for _ in range(number):
            seed = rng.randrange(2**32)
            if problem := attempt(random.Random(seed), place):
                failed.append(f"seed {seed}: {problem}")
        for text in failed[:5]:
            print(f"{name}: {text}", file=sys.stderr)
        rows.append((f"junk: {name}", number, number - len(failed), "nothing is trained"))
    return rows


def haul(minutes: float) -> None:
    """Train for so long and print every minute what the process holds."""
    import jax

    from morl.ops import archive as archives
    from morl.training.loop import train

    def held() -> str:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        buffers = sum(x.nbytes for x in jax.live_arrays())
        files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
        return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} | {buffers / 2**20:.2f} | {files} | {threads}"

    begin = last = time.monotonic()
    print("| minute | RSS, MiB | device buffers, MiB | open files | threads |\n|---|---|---|---|---|")

    def stop() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last >= 60.0:
            last = now
            print(f"| {(now - begin) / 60:.0f} | {held()} |", flush=True)
        return now - begin >= 60.0 * minutes

    with tempfile.TemporaryDirectory() as place:
        changes = {"steps": 10**8, "evaluations": 10**6, "checkpoint_minutes": 0.1}
        train("cmorl", settings(Path(place) / "run", **changes), config(), should_stop=stop)
    insert = jax.jit(archives.insert, donate_argnums=0)
    archive, key = archives.empty(200, 2, jax.numpy.zeros(8)), jax.random.key(0)
    for i in range(100_000):
        points = jax.random.normal(jax.random.fold_in(key, i), (4, 2))
        numbers = jax.numpy.zeros((4, 2)), jax.numpy.ones(4, int), jax.numpy.ones(4, bool)
        archive = insert(archive, archives.Candidates(points, *numbers, jax.numpy.zeros((4, 8))))
        if i % 20_000 == 0:
            print(f"| {i} insertions | {held()} |", flush=True)
    print(f"| 100000 insertions | {held()} |")


def nan(place: Path, whole: Any, number: int, rng: random.Random) -> list[Row]:
    """A reward that is not a number, now and then, in one environment of one policy."""
    from morl.envs.classic.fruit_tree import FruitTree
    from morl.training.loop import train

    survived = dropped = 0
    step = FruitTree.step

    def poisoned(self: Any, key: Any, state: Any, action: Any, params: Any) -> Any:
        import jax

        state, obs, reward, *rest = step(self, key, state, action, params)
        bad = jax.random.uniform(jax.random.fold_in(key, 7)) < 1e-3
        return state, obs, reward + jax.numpy.where(bad, jax.numpy.nan, 0.0), *rest

    for i in range(number):
        path = place / f"nan-{i}"
        FruitTree.step = poisoned  # type: ignore[method-assign]
        try:
            run = train("cmorl", settings(path, on_nan="skip", seed=rng.randrange(1000)), config())
        finally:
            FruitTree.step = step  # type: ignore[method-assign]
        told = (path / "log.txt").read_text().count("a reward is not finite")
        dropped += told
        survived += bool(told) and len(run.front) > 0
    return [("NaN in a reward, --on-nan skip", number, survived, f"updates of {dropped} policies")]


FAULTS: dict[str, tuple[Callable[..., list[Row]], int]] = {
    "kills": (kills, 20),
    "torn": (torn, 5),
    "disk": (disk, 3),
    "signals": (signals, 3),
    "nan": (nan, 2),
    "workers": (workers, 3),
    "fuzz": (fuzz, 1000),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", nargs="?", choices=[*FAULTS, "haul", "victim", "all"], default="all")
    parser.add_argument("--number", type=int, help="how often; each fault has its own default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="of haul")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--delay", type=float, default=-1.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fault == "victim":
        return victim(args.run, args.delay)
    if args.fault == "haul":
        haul(args.minutes)
        return 0
    names = list(FAULTS) if args.fault == "all" else [args.fault]
    table = []
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{directory}/compiled")  # every process runs the same
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        place = Path(directory)
        whole = None
        if {"kills", "torn", "disk", "signals"} & set(names):
            done = run_victim(place / "whole", -1.0)
            if done.returncode:
                raise SystemExit(done.stderr)
            whole = results(place / "whole")
        for name in names:
            attempt, default = FAULTS[name]
            (place / name).mkdir()
            table += attempt(place / name, whole, args.number or default, random.Random(args.seed))
    print("| fault | tried | survived | lost |\n|---|---|---|---|")
    for fault, tried, survived, lost in table:
        print(f"| {fault} | {tried} | {survived} | {lost} |")
    return 0 if all(tried == survived for _, tried, survived, _ in table) else 1


if __name__ == "__main__":
    raise SystemExit(main())
