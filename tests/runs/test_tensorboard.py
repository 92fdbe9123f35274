"""``morl tensorboard`` serves a run's events on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from morl.cli import main


def eventually(url, wanted):
    """Return what ``wanted`` finds in the JSON of a server, once it has read the events."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                if found := wanted(json.load(answer)):
                    return found
        except urllib.error.HTTPError:  # nothing to tell yet
            pass
        time.sleep(0.3)
    raise AssertionError(f"{url} has nothing to tell")


def test_it_serves_a_run_to_this_machine_only(dst_run):
    command = [sys.executable, "-m", "morl", "tensorboard", str(dst_run.path), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stderr is not None
        url = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        assert url.startswith("http://127.0.0.1:")
        query = urllib.parse.urlencode({"request": json.dumps({"experimentName": ""})})
        names = eventually(f"{url}data/plugin/hparams/experiment?{query}", lambda x: x.get("hparamInfos"))
        assert {"learning_rate", "env", "hidden"} <= {x["name"] for x in names}
        tags = eventually(f"{url}data/plugin/scalars/tags", lambda x: next(iter(x.values()), None))
        assert {"seed_5/hypervolume", "seed_6/sparsity", "final/hypervolume"} <= set(tags)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_mistakes(tmp_path, capsys):
    assert main(["tensorboard", str(tmp_path)]) == 2
    assert "holds no events of TensorBoard; give a run directory or a folder of runs" in capsys.readouterr().err
    assert main(["tensorboard", str(tmp_path), "--port", "70000"]) == 2
    assert "port must be at least 0 and at most 65535, not 70000" in capsys.readouterr().err
