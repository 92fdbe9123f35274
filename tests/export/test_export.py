"""Exported policies act as they did, without this library."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import morl
from morl import TrainSettings
from morl.agents.gmorl import GMORLConfig
from morl.cli import main
from morl.errors import UserError
from morl.export import export, jax_format

ROOT = Path(__file__).parents[2]
GRID = np.stack(np.meshgrid(np.arange(11), np.arange(11)), axis=-1).reshape(-1, 2).astype(np.int32)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A short run of one policy for any preference."""
    settings = TrainSettings(
        env="deep-sea-treasure-v0",
        steps=640,
        evaluations=1,
        eval_episodes=1,
        final_episodes=1,
        out=tmp_path_factory.mktemp("runs") / "gmorl",
    )
    small = GMORLConfig(
        num_envs=8,
        rollout_steps=4,
        gradient_steps=2,
        batch_size=16,
        replay_capacity=320,
        learning_starts=32,
        hidden=(8,),
        num_preferences=5,
    )  # fmt: skip
    return morl.train("gmorl", settings, small)


@pytest.mark.slow
def test_torch_alone_drives_an_environment(dst_run, tmp_path):
    """The example, where neither JAX nor this library can be imported: what the front says is what it gets."""
    pytest.importorskip("torch")
    path = tmp_path / "policy.pt2"
    assert main(["export", str(dst_run.path), "--preference", "0.7", "0.3", "--out", str(path)]) == 0
    row = dst_run.front.assign([0.7, 0.3])
    code = (
        "import runpy, sys; sys.modules.update(jax=None, morl=None);"
        f"sys.argv = ['drive.py', {str(path)!r}, 'deep-sea-treasure-v0'];"
        f"runpy.run_path({str(ROOT / 'examples' / 'without_morl' / 'drive.py')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.replace("'", '"'))
    np.testing.assert_allclose([got["treasure"], got["time"]], dst_run.front.undiscounted[row], rtol=1e-5)


def test_one_torch_program_for_any_preference(conditional, tmp_path):
    torch = pytest.importorskip("torch")
    done = export(conditional.path, tmp_path / "all.pt2")
    assert (done.policy, done.difference) == (None, 0)
    files = {"morl.json": ""}
    program = torch.export.load(str(done.path), extra_files=files).module()
    policy = conditional.front.at(0)
    for weights in ([0.5, 0.5], [1.0, 0.0]):
        rows = np.tile(np.array(weights, np.float32), (len(GRID), 1))
        got = program(torch.from_numpy(GRID), torch.from_numpy(rows)).numpy()
        np.testing.assert_array_equal(got, policy(GRID, weights))
        single = program(torch.from_numpy(GRID[:1]), torch.from_numpy(rows[:1])).numpy()
        np.testing.assert_array_equal(single, got[:1])
    about = json.loads(files["morl.json"])
    assert about["objectives"] == ["treasure", "time"]
    assert [policy["id"] for policy in about["policies"]] == list(range(len(conditional.front)))
    assert about["inputs"][1] == {"shape": ["batch", 2], "dtype": "float32"}


def test_jax_alone(dst_run, conditional, tmp_path, monkeypatch):
    pytest.importorskip("flatbuffers")
    from jax import export as jax_export

    done = export(dst_run.path, tmp_path / "a.jax", format="jax", policy=2, training_seed=6)
    program = jax_export.deserialize(bytearray(done.path.read_bytes()))
    np.testing.assert_array_equal(program.call(GRID), dst_run.fronts[6].at(2)(GRID))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    done = export(conditional.path, tmp_path / "b.jax")  # the name says the format
    program = jax_export.deserialize(bytearray(done.path.read_bytes()))
    weights = np.full((len(GRID), 2), 0.5, np.float32)
    np.testing.assert_array_equal(program.call(GRID, weights), conditional.front.at(0)(GRID, [0.5, 0.5]))
    assert jax.tree.leaves(program.in_avals)[0].dtype == np.int32
    call, about = jax_format.read(done.path)
    np.testing.assert_array_equal(call(GRID, weights), program.call(GRID, weights))
    assert (about["environment"], about["jax"]) == ("deep-sea-treasure-v0", jax.__version__)

    older = {"maximum_supported_calling_convention_version": about["calling_convention"] - 1}
    monkeypatch.setattr(jax_format, "export", SimpleNamespace(**older))
    with pytest.raises(UserError, match=rf"b.jax needs JAX {about['needs_jax']} or newer, not {jax.__version__}$"):
        jax_format.read(done.path)
    done.path.write_bytes(b"other")
    with pytest.raises(UserError, match=r"b.jax is no program that morl export"):
        jax_format.read(done.path)
    with pytest.raises(UserError, match=r"cannot read .*c.jax: No such file"):
        jax_format.read(tmp_path / "c.jax")


def test_onnx(conditional, tmp_path):
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    done = export(conditional.path, tmp_path / "a.onnx")
    model = onnx.load(str(done.path))
    onnx.checker.check_model(model)
    weights = np.full((len(GRID), 2), 0.5, np.float32)
    (got,) = ReferenceEvaluator(model).run(None, {"observation": GRID, "preference": weights})
    np.testing.assert_array_equal(got, conditional.front.at(0)(GRID, [0.5, 0.5]))
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert json.loads(model.metadata_props[0].value)["environment"] == "deep-sea-treasure-v0"


def test_mistakes(dst_run, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    run, out = dst_run.path, tmp_path / "a.pt2"
    for arguments, message in (
        ({}, "give --preference or --policy: each policy of this run is for a preference of its own"),
        ({"policy": 999}, "policy 999 is not in this front"),
        ({"policy": 0, "training_seed": 1}, "seed 1 is not in this run; it has 5, 6"),
        ({"preference": [0.7, 0.7]}, "add up to 1"),
        ({"policy": 0, "format": "jax"}, "cannot write jax to .*; its files end in .jax"),
        ({"policy": 0, "preference": [0.5, 0.5]}, "not both"),
    ):
        with pytest.raises(UserError, match=message):
            export(run, out, **arguments)
    with pytest.raises(
        UserError, match=r"a.pth says no format; its end must be one of .pt2 \(torch\), .jax \(jax\), .onnx"
    ):
        export(run, tmp_path / "a.pth", policy=0)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(UserError, match="exists already; choose another name"):
        export(run, out, policy=0)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"exporting to torch needs the 'torch' extra: pip install 'morlax\[torch\]'"):
        export(run, tmp_path / "b.pt2", policy=0)


def test_the_command_refuses_in_one_line(capsys):
    for flags, message in (
        (["--format", "tflite"], "--format must be one of torch, jax, onnx, not 'tflite'"),
        (["--policy", "0", "--preference", "0.5", "0.5"], "give --preference or --policy, not both"),
    ):
        assert main(["export", "x", "--out", "a.pt2", *flags]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
