"""Protocols: lines, notes, differences, and what runs keep of them."""

import json

import numpy as np
import pytest
import yaml

import morl
from morl.yardsticks.protocol import differences, package_of, protocol_of

MINECART = {"id": "minecart-v0", "keywords": {}, "gamma": 0.98, "objectives": ("ore_1", "ore_2", "fuel")}


def minecart(reference_point=(-1, -1, -200), **changes):
    given = {**MINECART, "reference_point": reference_point, "episodes": 128, **changes}
    return protocol_of(morl.make("minecart-v0"), **given)


def test_lines_of_minecart():
    first, second, third = minecart().describe()
    version = morl.__version__
    assert first == (
        f"protocol: minecart-v0 (morlax {version}, 1000 steps at most), γ = 0.98, 128 episodes each, 100 equally "
        "spaced preferences"
    )
    assert second.startswith("yardsticks: reference point -1 -1 -200; tight -0.09236 -0.09236 -1.205, of the published")
    assert "20 points (pareto_front of MO-Gymnasium" in second
    assert third.startswith(
        "anchors (hypervolume / share of the known front's at the tight reference): no-op action 199"
    )
    assert "random actions 20" in third
    assert "each objective's best" in third


def test_what_is_hidden_is_told():
    (line,) = minecart().notes([[0.5, 0.5, -1.0]])
    assert line.startswith(
        "reference point -200 in fuel hides fuel: its range over the front, -1.118 to -0.2492, is 0.44%"
    )
    assert minecart((0, 0, -2)).notes([[0.5, 0.5, -1.0]]) == []


def test_a_hypervolume_of_zero_is_explained_at_both():
    poor = [[-2.0, -0.05, -0.5], [0.1, -0.1, -3.0]]
    zero, tight = minecart((0.2, 0, -2)).notes(poor)
    assert zero.startswith("the hypervolume is 0, as no policy exceeds 0.2 in ore_1 (best 0.1)")
    assert tight.startswith("at the tight reference point -0.09236 -0.09236 -1.205 the hypervolume is 0, as no policy")
    assert "a reference point below all of them: " in tight


def test_without_a_known_front_the_found_one_tells():
    protocol = minecart(gamma=0.5)
    assert protocol.known_front is None
    assert protocol.tight_reference is None
    assert "no known or best-found front is stored" in protocol.describe()[1]
    assert protocol.describe_front([[0.0, 0.0, -1.0]]) is None
    assert protocol.hidden([[0.0, 0.0, -1.0], [0.5, 0.5, -2.0]])[0].startswith(
        "reference point -200 in fuel hides fuel"
    )
    assert len(protocol.describe()) == 2  # no anchors at this discount


def test_of_an_environment_that_is_not_installed():
    protocol = protocol_of(None, reference_point=(-1, -1, -200), episodes=3, **MINECART)
    assert protocol.describe()[0].startswith("protocol: minecart-v0 (not installed, no time limit)")
    assert len(protocol.known_front.points) == 20


def test_packages():
    assert package_of(morl.make("minecart-v0")) == f"morlax {morl.__version__}"
    assert package_of(morl.make("minecart-v0", backend="host")).startswith("mo-gymnasium ")


def test_differences_are_told_in_one_line():
    one, two = minecart().as_dict(), minecart(episodes=3, reference_point=(0, 0, -2)).as_dict()
    assert differences([("a", one), ("b", one)]) is None
    found = differences([("a", one), ("b", two), ("c", {})])
    assert found == (
        "the runs have different protocols: episodes 128 (a), 3 (b); reference point -1 -1 -200 (a), 0 0 -2 (b)"
    )


def test_a_run_keeps_its_protocol(dst_run):
    noted = yaml.safe_load((dst_run.path / "config.yaml").read_text())["run"]["protocol"]
    protocol = dst_run.front.protocol
    assert noted == protocol.as_dict()
    assert noted["env"] == "deep-sea-treasure-v0"
    np.testing.assert_allclose(noted["tight_reference_point"], protocol.tight_reference)
    assert noted["known_front"] == "the true front, 10 points"


def test_what_train_prints_at_its_end(dst_run):
    from morl.cli.train import summary

    lines = summary(dst_run).splitlines()
    assert sum("at the tight reference -1.6 -20.8 " in line for line in lines) == len(dst_run.fronts)
    assert sum(line.startswith("anchors (hypervolume / share") for line in lines) == 1


def test_the_report_has_the_protocol(dst_run):
    from morl.analysis.results import read
    from morl.report.data import report_data

    data = report_data(read([dst_run.path]), reference_point=[0, -1e6])
    assert data["protocol"][0].startswith("protocol: deep-sea-treasure-v0 (morlax ")
    assert data["protocol"][1].startswith("yardsticks: reference point 0 -1e+06; tight -1.6 -20.8, of the true front")
    notes = [front["note"] for run in data["runs"] for front in run["fronts"]]
    assert all(note.startswith("reference point -1e+06 in time hides time") for note in notes)
    assert all(0 < front["metrics"]["hypervolume_tight"] < 1.001 for run in data["runs"] for front in run["fronts"])


def test_front_as_json_has_the_tight_reference_point(dst_run, capsys):
    from morl.cli import main

    assert main(["front", str(dst_run.path), "--json"]) == 0
    for front in json.loads(capsys.readouterr().out):
        assert front["tight_reference_point"] == pytest.approx([-1.6, -20.8])
        assert 0 < front["hypervolume_tight"] < 1.001
        assert 0 < front["covered_share"] <= 1
        assert front["notes"] == []


def test_another_reference_point_changes_the_notes(dst_run):
    front = dst_run.front
    assert not front.notes
    far = front.with_reference_point([0, -1e6]).notes
    assert far == [pytest.approx(far[0])]
    assert far[0].startswith("reference point -1e+06 in time hides time: its range over the front, -19 to -1, is 0.00%")
