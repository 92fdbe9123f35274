"""``morl tensorboard`` serves a run's events on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

from morl.cli import main


def test_it_serves_a_run_to_this_machine_only(dst_run):
    command = [sys.executable, "-m", "morl", "tensorboard", str(dst_run.path), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stderr is not None
        url = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}data/plugin/hparams/experiment", timeout=60) as answer:
            experiment = json.load(answer)
        assert {"learning_rate", "env", "hidden"} <= {x["name"] for x in experiment["hparamInfos"]}
        with urllib.request.urlopen(f"{url}data/plugin/scalars/tags", timeout=60) as answer:
            (tags,) = json.load(answer).values()
        assert {"seed_5/hypervolume", "seed_6/sparsity", "final/hypervolume"} <= set(tags)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_mistakes(tmp_path, capsys):
    assert main(["tensorboard", str(tmp_path)]) == 2
    assert "holds no events of TensorBoard; give a run directory or a folder of runs" in capsys.readouterr().err
    assert main(["tensorboard", str(tmp_path), "--port", "70000"]) == 2
    assert "port must be at least 0 and at most 65535, not 70000" in capsys.readouterr().err
