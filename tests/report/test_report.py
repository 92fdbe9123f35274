"""The report page: complete, inert towards what it shows, and doing what it says in a browser."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from morl import report
from morl.analysis.preference.posterior import Answer, Posterior
from morl.analysis.preference.utilities import normalised, utilities
from morl.analysis.results import read
from morl.cli import main
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.runs.front_csv import objects_csv
from tests.runs.written_runs import points, write_run

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
NAMES = ("comfort", "energy", EVIL, *(f"objective {i}" for i in range(6)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Nine objectives and 200 policies, of two seeds and of one; named to break a page."""
    folder = tmp_path_factory.mktemp("runs")
    scale = 10.0 ** np.arange(-2, 7)
    fronts = {seed: points(seed, 200, 9) * scale for seed in (0, 1)}
    one = write_run(folder / "one", NAMES, fronts, env=EVIL)
    two = write_run(folder / "two<b>&", NAMES, {4: points(2, 20, 9) * scale}, env=EVIL, extension="none")
    return [one, two]


@pytest.fixture(scope="module")
def page(runs):
    path = runs[0].parent / "report.html"
    assert main(["report", *map(str, runs), "--out", str(path)]) == 0
    return path


def content(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])


def test_the_page_is_complete_and_small(page):
    text = page.read_text()
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)\s*=\s*[\"']", text)
    assert len(text) < 800_000


def test_what_users_wrote_is_never_markup(page):
    text = page.read_text()
    assert EVIL not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "innerHTML" not in text
    data = content(page)
    assert data["env"] == EVIL
    assert data["objectives"][2]["name"] == EVIL


def test_numbers_of_the_page(runs, page):
    data, results = content(page), read(runs)
    for run, result in zip(data["runs"], results, strict=True):
        for front, table in zip(run["fronts"], result.tables.values(), strict=True):
            np.testing.assert_array_equal(front["returns"], table["returns"])
            assert front["metrics"]["exact"] == (len(table["returns"]) == 20)
            assert front["metrics"]["cardinality"] == len(table["returns"])
            assert 0 <= front["metrics"]["igd_plus"] < 1  # from the best points of both runs
    assert "of the best points of all these runs" in data["protocol"][1]
    assert content(page)["trueFront"] is None
    history = data["runs"][0]["history"]["hypervolume"]
    assert history == {"mean": [1.5, 2.5], "low": [1.0, 2.0], "high": [2.0, 3.0]}


def test_another_reference_point(tmp_path):
    """The run's own point stays with the history; of the true front that is nothing above, there is no share."""
    run = write_run(tmp_path / "x", ("treasure", "time"), {0: [[2.0, -3.0], [1.0, -1.0]]}, reference_point=[0.0, -25.0])
    results = read([run])
    whole = report.data.report_data(results)["runs"][0]
    assert (whole["reference"], whole["ownReference"]) == ("0 -25", "0 -25")
    data = report.data.report_data(results, "0 -4")["runs"][0]
    assert (data["reference"], data["ownReference"]) == ("0 -4", "0 -25")
    assert data["fronts"][0]["metrics"]["hypervolume"] == 2 * 1 + 1 * 2
    beyond = report.data.report_data(results, [1e6, 0.0])["runs"][0]["fronts"][0]["metrics"]
    assert (beyond["hypervolume"], beyond["share"]) == (0, None)
    with pytest.raises(UserError, match="has 2 finite numbers, one for each of treasure, time, not 1"):
        report.write(results, tmp_path / "page.html", [0.0])
    assert not (tmp_path / "page.html").exists()


def test_returns_of_each_objective_are_in_the_history(browser, tmp_path):
    """The column of the best return of each objective is a curve; a metric without a number is none."""
    run = write_run(tmp_path / "x", ("a b", "c"), {0: [[1.0, 2.0]]}, metrics=[[1, 0, "nan", 1, 1, 1, 5.0, 4.0]])
    table = (run / "metrics.csv").read_text().splitlines()
    table[0] += ",return/a b/max,return/a b/mean"
    (run / "metrics.csv").write_text("\n".join(table))
    report.write(read([run]), tmp_path / "page.html", [-20.0, -20.0])
    show(browser, tmp_path / "page.html")
    titles = [head.text for head in browser.find_elements("css selector", "#curves h3")]
    assert titles == ["Expected utility", "Sparsity", "Size of the front", "Best return: a b"]
    assert "Reference point of the hypervolume: −20 −20, as given to this report." in text(browser, "numbers-note")
    assert "above the reference point of the training, −10 −10." in text(browser, "history-note")
    assert text(browser, "policies-summary") == "1 policy of seed 0"
    bar = browser.find_element("css selector", "#returns .bar")
    assert bar.get_attribute("title") == "1 over all policies shown here"


def test_one_objective_may_not_vary(tmp_path):
    run = write_run(tmp_path / "x", ("a", "b", "c", "d"), {0: [[1.0, 2.0, 3.0, 4.0]]}, metrics=[[1, 0, "nan", 1, 1, 1]])
    data = json.loads(json.dumps(report.data.report_data(read([run])), allow_nan=False))
    assert data["runs"][0]["fronts"][0]["projected"] == [[0.0, 0.0]]
    assert data["runs"][0]["history"]["hypervolume"]["mean"] == [None]


def test_objects_are_not_called_policies(browser, tmp_path):
    """Check the page of a sampler, whose objects have names and are drawn again rather than rolled out."""
    run = write_run(tmp_path / "x", ("a", "b", "c"), {0: points(0, 3, 3)})
    names = ["AV", EVIL, "CA"]
    (run / "objects.csv").write_text(objects_csv({0: SimpleNamespace(objects=names)}))
    report.write(read([run]), tmp_path / "page.html")
    show(browser, tmp_path / "page.html")
    best = int(points(0, 3, 3).sum(axis=1).argmax())
    assert text(browser, "choice-title") == f"Object {best}: {names[best]}"
    assert text(browser, "choice-command") == f"morl sample {run} --preference 0.333334 0.333333 0.333333"
    browser.find_element("id", "policies-summary").click()
    assert [cell.text for cell in browser.find_elements("css selector", "#table td:nth-child(2)")] == names
    seen = browser.execute_script("return document.body.innerText").lower()
    assert "objects" in seen
    assert "polic" not in seen.replace(str(run).lower(), "")


def test_only_a_report_is_written_over(runs, tmp_path):
    results, path = read(runs[1:]), tmp_path / "page.html"
    report.write(results, path)
    report.write(results, path)
    path.write_text("my notes")
    with pytest.raises(UserError, match="exists and is not a report; choose another name"):
        report.write(results, path)
    assert path.read_text() == "my notes"
    with pytest.raises(UserError, match=r"cannot write .*: No such file or directory"):
        report.write(results, tmp_path / "nowhere" / "page.html")


def test_a_runs_report_is_put_into_it(dst_run, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["report", str(dst_run.path), "--open"]) == 0
    path = dst_run.path / "report.html"
    assert capsys.readouterr().out == f"report: {path}\n"
    assert opened == [path.resolve().as_uri()]
    path.unlink()


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("selenium")
    binary, server = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not binary or not server:
        pytest.skip("no Chromium with its driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(server))
    yield driver
    driver.quit()


SET = """
const weights = arguments[0];
weights.forEach((w, k) => {
  const slider = document.getElementById(`slider-${k}`);
  slider.value = w;
  slider.dispatchEvent(new Event("input"));
});
return document.getElementById("choice-title").textContent;
"""


def show(browser, page, width=1280, scheme="light"):
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())


def text(browser, id):
    return browser.find_element("id", id).text


def test_a_slider_moves_the_choice_by_keyboard(browser, page):
    from selenium.webdriver.common.keys import Keys

    show(browser, page)
    assert browser.title == f"cmorl on {EVIL}"
    before = text(browser, "choice-title"), text(browser, "returns")
    slider = browser.find_element("id", "slider-8")
    slider.send_keys(Keys.HOME)
    assert text(browser, "weight-8") == "0 %"
    assert (text(browser, "choice-title"), text(browser, "returns")) != before
    picture = browser.find_element("id", "picture")
    row = int(text(browser, "choice-title").split()[1])
    picture.send_keys(Keys.ARROW_RIGHT)
    assert text(browser, "choice-title") == f"Policy {(row + 1) % 200} of one, seed 0"
    assert text(browser, "choice-command").endswith(f"--training-seed 0 --policy {(row + 1) % 200}")


def test_the_choice_is_that_of_the_front(browser, runs, page):
    show(browser, page)
    returns = read(runs)[0].tables[0]["returns"]
    for sliders in np.rint(100 * equally_spaced_weights(9, 40)).astype(int).tolist():
        weights = np.array(sliders) / sum(sliders)
        shown = browser.execute_script(SET, sliders)
        assert shown == f"Policy {np.argmax(returns @ weights.round(6))} of one, seed 0"
    assert browser.execute_script(SET, [0] * 9) == f"Policy {np.argmax(returns.sum(axis=1))} of one, seed 0"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (390, "light")])
def test_every_view_fits_and_nothing_is_loaded_or_complained_about(browser, page, width, scheme):
    browser.get_log("browser"), browser.get_log("performance")
    show(browser, page, width, scheme)
    for view in ("plane", "space", "parallel", "projection"):
        browser.find_element("id", f"view-{view}").click()
        assert browser.execute_script("return document.querySelectorAll('#marks .chosen').length") == 3
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(wide) == 0
    backgrounds = (
        "return [document.body, document.querySelector('section')].map((x) => getComputedStyle(x).backgroundColor)"
    )
    shades = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in browser.execute_script(backgrounds)]
    assert all(shade < 60 for shade in shades) if scheme == "dark" else all(shade > 200 for shade in shades)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert asked == {page.as_uri()}


def test_a_click_picks_the_policy_under_it(browser, dst_run, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains

    path = tmp_path / "dst.html"
    report.write(read([dst_run.path]), path)
    show(browser, path)
    heads = [head.text for head in browser.find_elements("css selector", "#numbers th")]
    assert heads[4:10] == ["expected utility", "sparsity", "IGD+", "tight", "box", "covered"]
    point = browser.find_elements("css selector", "#picture .point")[1]
    ActionChains(browser).move_to_element(point).click().perform()
    assert text(browser, "choice-title") == "Policy 1 of seed 5"
    assert text(browser, "choice-note").startswith("Picked by hand")
    treasure, time = (f"{x:.4g}".replace("-", "−") for x in dst_run.front.returns[1])
    assert f"treasure\n{treasure}" in text(browser, "returns")
    assert f"{time} steps" in text(browser, "returns")


def test_the_panel_of_pairs_finds_what_a_user_likes(browser, tmp_path):
    """Its answers are there after the page is loaded again, and gone when it begins anew."""
    returns = points(3, 40, 3)
    worth = returns @ [0.2, 0.7, 0.1]
    report.write(read([write_run(tmp_path / "x", ("a", "b", "c"), {0: returns})]), tmp_path / "page.html")
    show(browser, tmp_path / "page.html")
    assert not browser.find_elements("id", "prefer-again")
    browser.find_element("id", "prefer-start").click()
    asked = []
    while buttons := browser.find_elements("id", "prefer-a"):
        a, b = (int(browser.find_element("id", f"prefer-{side}").text.split()[-1]) for side in "ab")
        shown = [float(cell.text) for cell in browser.find_elements("css selector", ".compared > span:last-child")]
        np.testing.assert_allclose(shown, returns[[a, b]].T.ravel(), rtol=1e-3)
        asked.append({a, b})
        (buttons[0] if worth[a] > worth[b] else browser.find_element("id", "prefer-b")).click()
        assert len(asked) <= 10
    assert len(set(map(frozenset, asked))) == len(asked) >= 3
    note = text(browser, "prefer-note")
    named = int(re.match(rf"After {len(asked)} answers: policy (\d+)\.", note)[1])
    assert worth[named] >= worth.max() - 0.02 * np.ptp(worth)
    assert text(browser, "choice-title") == f"Policy {named}"
    browser.refresh()
    assert text(browser, "prefer-note") == note
    browser.execute_script(SET, [100, 0, 0])
    browser.find_element("id", "prefer-show").click()
    assert text(browser, "choice-title") == f"Policy {named}"
    browser.find_element("id", "prefer-again").click()
    browser.refresh()
    assert browser.find_elements("id", "prefer-start")
    assert browser.get_log("browser") == []


def test_the_panel_counts_as_the_command_does(browser, page):
    """Utilities, and the posterior after answers, up to the random numbers."""
    show(browser, page)
    generator, returns = np.random.default_rng(0), points(0, 12, 3)
    latents, inside = generator.standard_normal((60, 4, 2)), normalised(returns)
    found = browser.execute_script(
        "const [latents, points] = arguments; return latents.map((z) => utilitiesOf(z, points));",
        latents.reshape(60, 8).tolist(),
        inside.tolist(),
    )
    np.testing.assert_allclose(found, utilities(latents, inside), atol=1e-9)
    posterior, answers = Posterior(inside), [Answer(0, 11, True), Answer(3, 8, False), Answer(2, 5, None)]
    for answer in answers:
        posterior.learn(answer)
    means = browser.execute_script(
        "const [returns, answers] = arguments, liking = new Liking(returns); answers.forEach((x) => liking.tell(...x));"
        "return returns.map((_, i) => liking.values.reduce((sum, v) => sum + v[i], 0) / liking.values.length);",
        returns.tolist(),
        [[answer.first, answer.second, answer.share] for answer in answers],
    )
    np.testing.assert_allclose(means, posterior.utilities.mean(axis=0), atol=0.05)
