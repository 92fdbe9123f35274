"""Hyper-parameter search: what it finds on unseen seeds, what it costs, and what a lost node does to it.

    python benchmarks/tune.py search cmorl    # 30 trials of 100k steps on minecart, then 5 unseen seeds; or gmorl
    python benchmarks/tune.py overhead        # N trials through Tune against the same N one after another
    python benchmarks/tune.py nodes           # two Ray nodes on this machine, one killed half-way

Each prints a table in Markdown. Compiled programs of earlier studies are not used: each begins with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CASES = {
    "cmorl": [],
    # the memory of a small run, and a budget of gradient steps that 100k environment steps can pay for
    "gmorl": ["--num-preferences", "51"],
}


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment variables of a process that keeps compiled programs below ``scratch``."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "XDG_CACHE_HOME": str(scratch / "cache"), "PYTHONPATH": path}


def tune(scratch: Path, *args: str, check: bool = True) -> float:
    """Run ``morl tune`` in a process of its own; return its seconds."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "morl", "tune", *args]
    subprocess.run(command, check=check, env=environment(scratch), cwd=scratch)
    return time.perf_counter() - begin


def records(study: Path) -> list[dict]:
    """Return the records of a study's journal."""
    return [json.loads(line) for line in (study / "journal.jsonl").read_text().splitlines()]


def header(columns: list[str]) -> str:
    """Return the header lines of a table."""
    return f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def ends(study: Path) -> list[dict]:
    return [record for record in records(study) if record["event"] == "end"]


def search(scratch: Path, agent: str, trials: int, steps: int, seeds: int, held_out: int) -> None:
    """Print best against default on unseen seeds, trials an hour, and the share of steps with successive halving."""
    out = scratch / agent
    flags = ["--env", "minecart-v0", "--num-samples", str(trials), "--steps", str(steps), "--num-seeds", str(seeds)]
    wall = tune(scratch, agent, *flags, "--held-out-seeds", str(held_out), "--out", str(out), *CASES[agent])
    from morl.tune import heldout
    from morl.tune.journal import Journal

    journal = Journal(out / "journal.jsonl")
    journal.close()
    ended = ends(out)
    done = sum(record["result"].get("steps", 0) for record in ended)
    hits, misses = (sum(r["result"].get(name, 0) for r in ended) for name in ("cache_hits", "cache_misses"))
    states = {state: sum(r["state"] == state for r in ended) for state in ("finished", "pruned", "failed")}
    (best_name,) = [name for name in journal.held_out if name != "default"]
    found = heldout.compare(journal.held_out[best_name], journal.held_out["default"])
    volumes = found.hypervolumes

    def interval(x) -> str:
        return f"{x.value:.5g} [{x.low:.5g}, {x.high:.5g}]"

    columns = ["agent", "trials (finished, pruned, failed)", f"defaults, HV on {held_out} unseen seeds [95 %]", "best"]
    columns += ["difference", "p", "wall-clock", "trials/h", "steps of those without ASHA", "programs from the cache"]
    print(header(columns))
    print(
        f"| {agent} | {len(ended)} ({', '.join(str(n) for n in states.values())}) | {interval(found.mean_default)} | "
        f"{interval(found.mean_best)} | {interval(found.difference)} | {found.p_value:.3g} | {wall:.0f} s | "
        f"{3600 * len(ended) / wall:.0f} | {done / (len(ended) * steps):.0%} | {hits / max(1, hits + misses):.0%} |"
    )
    print(f"\nhypervolume of each seed, best: {volumes[0].round(2).tolist()}, defaults: {volumes[1].round(2).tolist()}")
    print((out / "best.yaml").read_text())


def overhead(scratch: Path, trials: int, steps: int) -> None:
    """The same trainings by a study and by hand, one after another with the same settings, each on one core.

    The hand's own trainings take turns on one core, so that two cores should take half the time: what is compared is
    time of a core.
    """
    flags = ["--env", "minecart-v0", "--steps", str(steps), "--num-seeds", "1"]
    out = scratch / "study"
    search_flags = [
        "--num-samples",
        str(trials),
        "--scheduler",
        "none",
        "--searcher",
        "random",
        "--held-out-seeds",
        "0",
    ]
    wall = tune(scratch, "cmorl", *flags, *search_flags, "--max-concurrent", "1", "--out", str(out))
    journal = records(out)
    given = {r["trial"]: r["params"] for r in journal if r["event"] == "start"}
    inside = sum(r["result"]["seconds"] for r in ends(out))

    begin = time.perf_counter()
    start = [
        sys.executable,
        "-c",
        "import ray; from ray import tune; ray.init(include_dashboard=False); ray.shutdown()",
    ]
    subprocess.run(start, check=True, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}, capture_output=True)
    ray_start = time.perf_counter() - begin

    shutil.rmtree(scratch / "cache", ignore_errors=True)
    begin = time.perf_counter()
    code = (
        "import sys, json; from pathlib import Path; from morl.tune import worker; "
        "job = worker.Job(**json.loads(sys.argv[1])); worker.prepare(job); "
        "worker.execute(job, Path(sys.argv[2]), json.loads(sys.argv[3]), lambda message: None)"
    )
    job = {
        "agent": "cmorl",
        "training": {"env": "minecart-v0", "steps": steps, "num_seeds": 1},
        "own": {},
        "metric": "hypervolume",
        "modules": [],
        "directory": str(scratch),
        "cpus": 1.0,
        "gpus": 0.0,
        "checkpoints": False,
        "stop": str(scratch / "stop"),
    }
    for number, params in given.items():
        command = [sys.executable, "-c", code, json.dumps(job), str(scratch / f"hand-{number}"), json.dumps(params)]
        subprocess.run(command, check=True, env=environment(scratch), cwd=scratch)
    by_hand = time.perf_counter() - begin
    print(header(["trials", "one after another", "through the study", "Ray's start", "overhead beyond it"]))
    print(
        f"| {trials} | {by_hand:.1f} s | {wall:.1f} s ({inside:.1f} s in trials) | {ray_start:.1f} s | "
        f"{(wall - ray_start) / by_hand - 1:+.1%} |"
    )


def nodes(scratch: Path, trials: int, steps: int) -> None:
    """A cluster of two nodes on this machine, each with one core; the second one is killed once trials run on both."""
    out, port = scratch / "study", 6399
    quiet = {
        **environment(scratch),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
    }
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1", "--disable-usage-stats", "--block"]
    common = ["--object-store-memory", str(128 * 2**20)]
    log = (scratch / "nodes.log").open("w")
    of_head = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", str(scratch / "ray")]
    options = {"env": quiet, "stdout": log, "stderr": log, "start_new_session": True}
    head = subprocess.Popen([*ray, *of_head, *common], **options)
    time.sleep(10)
    second = subprocess.Popen([*ray, "--address", f"127.0.0.1:{port}", *common], **options)
    driver = None
    try:
        command = [
            *[sys.executable, "-m", "morl", "tune", "cmorl", "--env", "minecart-v0", "--steps", str(steps)],
            *["--num-seeds", "1", "--num-samples", str(trials), "--held-out-seeds", "0", "--scheduler", "none"],
            *["--checkpoint-minutes", "0", "--address", f"127.0.0.1:{port}", "--out", str(out)],
        ]
        begin = time.perf_counter()
        driver = subprocess.Popen(command, env=quiet, cwd=scratch)
        while driver.poll() is None and not _half_done(out, trials):
            time.sleep(0.5)
        before = [record["trial"] for record in ends(out)]
        running = _running(out)
        os.killpg(second.pid, signal.SIGKILL)
        killed = time.perf_counter() - begin
        print(f"one node killed after {killed:.0f} s, with trials {before} ended and {running} running", flush=True)
        code = driver.wait(timeout=1800)
        wall = time.perf_counter() - begin
    finally:
        for process in (driver, second, head):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL) if process is not driver else process.kill()
        log.close()
    journal = records(out)
    ended = [r["trial"] for r in journal if r["event"] == "end"]
    finished = sum(r["state"] == "finished" for r in journal if r["event"] == "end")
    resumed = [p.parent.name for p in (out / "trials").glob("*/log.txt") if "resumed at step" in p.read_text()]
    if len(before) == trials:
        raise SystemExit("all trials had ended before the node was killed, which shows nothing: give more --steps")
    columns = ["trials", "node killed after", "ended before", "finished", "twice or never", "from a checkpoint"]
    print(header([*columns, "exit code", "wall-clock"]))
    wrong = sorted(set(range(trials)) ^ set(ended)) + sorted({t for t in ended if ended.count(t) > 1})
    counts = f"{len(before)} | {finished} | {len(wrong)} | {len(resumed)}"
    print(f"| {trials} | {killed:.0f} s | {counts} | {code} | {wall:.0f} s |")


def _half_done(out: Path, trials: int) -> bool:
    return (out / "journal.jsonl").exists() and len(ends(out)) >= trials // 2 and len(_running(out)) >= 2


def _running(out: Path) -> list[int]:
    """Trials whose training has begun and that have not ended."""
    over = {r["trial"] for r in ends(out)}
    begun = {int(path.parent.name) for path in (out / "trials").glob("*/config.yaml")}
    return sorted(begun - over)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("search", "overhead", "nodes"))
    parser.add_argument("agent", nargs="?", default="cmorl", choices=sorted(CASES))
    parser.add_argument("--trials", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, help="of a trial; by default 2 of cmorl, 1 of gmorl")
    parser.add_argument("--held-out", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="directory for everything, instead of one that is deleted")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="morl-tune-") as temporary:
        scratch = args.keep or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        if args.what == "search":
            seeds = args.seeds or {"cmorl": 2, "gmorl": 1}[args.agent]
            search(scratch.resolve(), args.agent, args.trials or 30, args.steps or 100_000, seeds, args.held_out)
        elif args.what == "overhead":
            overhead(scratch.resolve(), args.trials or 6, args.steps or 100_000)
        else:
            nodes(scratch.resolve(), args.trials or 8, args.steps or 30_000)


if __name__ == "__main__":
    main()
