
// The page: what is shown of the data, and what a person does to it.

const data = JSON.parse(by("data").textContent);
const objectives = data.objectives, count = objectives.length;
const several = data.runs.length > 1;
data.runs.forEach((run, r) => { run.colour = `c${r % 8}`; });
const fronts = data.runs.flatMap((run) => run.fronts.map((front, s) => Object.assign(front, {
  run, colour: several ? run.colour : `c${s % 8}`, label: several ? `${run.label}, seed ${front.seed}` : `seed ${front.seed}`,
})));
const ranges = objectives.map((_, k) => extent(fronts.flatMap((front) => front.returns.map((row) => row[k]))));
const known = data.trueFront || [];
const state = { sliders: objectives.map(() => 50), focus: 0, picked: null, view: null, axes: [0, 1, 2].slice(0, count), hidden: new Set(), turn: { yaw: 0.7, tilt: 0.42 } };
let drawn = null;

// What the rows of the fronts are: policies, or objects that a sampler drew.
const things = [...new Set(fronts.map((front) => (front.objects ? "objects" : "policies")))].join(" and ");
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// Numbers as weights of six digits that add up to 1, as the command line takes them.
function weighed(numbers) {
  const total = numbers.reduce((a, b) => a + b, 0);
  const millionths = numbers.map((x) => Math.round((total ? x / total : 1 / count) * 1e6));
  const largest = millionths.indexOf(Math.max(...millionths));
  millionths[largest] += 1e6 - millionths.reduce((a, b) => a + b, 0);
  return millionths.map((x) => x / 1e6);
}
const preference = () => weighed(state.sliders);

// The row with the largest preference-weighted return, the first of equal ones: Front.assign.
function assign(front, weights) {
  let best = 0, most = -Infinity;
  front.returns.forEach((row, i) => {
    const utility = row.reduce((sum, x, k) => sum + x * weights[k], 0);
    if (utility > most) { most = utility; best = i; }
  });
  return best;
}
const chosen = (front) => (state.picked !== null && fronts[state.focus] === front ? state.picked : assign(front, preference()));

// The weights, in the returns' own units, for which a row is the best of its front.
const weightRange = (range) => (range ? told(range) : "none");
const bestFor = (front, i) => (front.bestFor[i]
  ? `Best for ${objectives.map((objective, k) => `${objective.name} ${weightRange(front.bestFor[i][k])}`).join(", ")} (weights).`
  : "Best for no linear preference: others are better or as good under each.");
const visible = () => fronts.filter((front) => !state.hidden.has(front));

function header() {
  const agents = [...new Set(data.runs.map((run) => run.agent))].join(", ");
  const title = `${agents} on ${data.env}`;
  document.title = title;
  by("title").textContent = title;
  const measured = [...new Set(data.runs.map((run) => run.measured))].join(", or ");
  by("subtitle").textContent = `Discounted returns (γ = ${number(data.gamma)}), ${measured}. All objectives are maximised.`;
  by("focus-name").textContent = `${capital(things)} of `;
  by("policies-title").textContent = capital(things);
  if (things === "objects") by("sliders-note").textContent = `Move a slider: the object with the largest preference-weighted value is chosen.${fronts.some((front) => front.run.labelled) ? "" : " It is the best of many that were drawn."}`;
  by("picture").setAttribute("aria-label", `Picture of the front; left and right arrow keys go through its ${things}`);
  by("footer").textContent = `morl ${data.version}. This file is complete: it loads nothing.`;
}

function sliders() {
  objectives.forEach((objective, k) => {
    const input = html("input", { type: "range", min: 0, max: 100, step: 1, value: state.sliders[k], id: `slider-${k}`, "aria-label": `weight of ${objective.name}` });
    const output = html("output", { for: `slider-${k}`, id: `weight-${k}` });
    input.addEventListener("input", () => { state.sliders[k] = Number(input.value); state.picked = null; choose(); });
    by("sliders").append(html("div", { class: "slider" }, html("span", {}, objective.name), input, output));
  });
  by("even").addEventListener("click", () => {
    state.sliders.fill(50);
    state.sliders.forEach((x, k) => { by(`slider-${k}`).value = x; });
    state.picked = null;
    choose();
  });
  fronts.forEach((front, i) => by("focus").append(html("option", { value: i }, front.label)));
  by("focus").addEventListener("change", (event) => focus(Number(event.target.value)));
  by("focus-label").hidden = fronts.length < 2;
}

function focus(index, row = null) {
  const moved = index !== state.focus;
  state.focus = index;
  state.picked = row;
  by("focus").value = index;
  state.hidden.delete(fronts[index]);
  if (moved) { legend(); draw(); policies(); prefer(); }
  choose();
}

// Everything that depends on which policy is chosen.
function choose() {
  const weights = preference(), front = fronts[state.focus], i = chosen(front);
  weights.forEach((w, k) => { by(`weight-${k}`).textContent = `${(100 * w).toFixed(0)} %`; by(`slider-${k}`).setAttribute("aria-valuetext", `${(100 * w).toFixed(0)} percent`); });
  const where = fronts.length > 1 ? ` of ${front.label}` : "";
  const own = front.preferences[i].map((x) => number(x, 3));
  by("choice-title").textContent = front.objects ? `Object ${i}${where}: ${front.objects[i]}` : `Policy ${i}${where}`;
  by("choice-note").textContent = `${state.picked === null ? "It has the largest weighted return" : "Picked by hand or by your answers; a slider chooses again"}. ${front.run.labelled ? `It was labelled: its values are exact. It has ${number(front.length[i])} letters.` : front.objects
    ? `Drawn for the preference ${own.join(" · ")}, in ${number(front.length[i])} steps.`
    : `${bestFor(front, i)}${front.run.conditional ? ` It acts for the preference ${own.join(" · ")}.` : ""} An episode takes ${number(front.length[i])} steps.`}`;
  by("returns").replaceChildren(...objectives.map((objective, k) => {
    const x = front.returns[i][k], error = front.stderr[i][k], plain = front.undiscounted[i][k];
    const alone = front.withoutBonus ? `, ${number(front.withoutBonus[i][k])} without the bonus for being alive` : "";
    const notes = `${error === null ? "" : ` ± ${number(error, 2)}`}${plain !== x ? `, undiscounted ${number(plain)}` : ""}${alone}`;
    const bar = html("i", {}), share = (x - ranges[k][0]) / (ranges[k][1] - ranges[k][0]);
    bar.style.width = `${(100 * share).toFixed(1)}%`;
    return html("div", { class: "return" },
      html("span", { class: "name" }, objective.name),
      html("span", { class: "value" }, `${number(x)}${objective.unit ? ` ${objective.unit}` : ""}`, html("small", {}, notes)),
      html("span", { class: `bar ${front.colour}`, title: `${told(ranges[k])} over all ${things} shown here` }, bar));
  }));
  const seed = front.run.fronts.length > 1 ? ` --training-seed ${front.seed}` : "";
  by("choice-command").textContent = front.run.labelled ? `morl front ${front.run.path}${seed.replace("--training-seed", "--seed")}` : front.objects
    ? `morl sample ${front.run.path}${seed} --preference ${(state.picked === null ? weights : weighed(front.preferences[i])).join(" ")}`
    : `morl rollout ${front.run.path}${seed} --policy ${i}`;
  mark();
  for (const row of by("table").querySelectorAll("tr[data-row]")) row.toggleAttribute("aria-current", false);
  const current = by("table").querySelector(`tr[data-row="${i}"]`);
  if (current) current.setAttribute("aria-current", "true");
  for (const cells of by("numbers").querySelectorAll("tr[data-front]")) numbersOf(cells, Number(cells.dataset.front));
}

const VIEWS = {
  plane: { name: "Two objectives", from: 2, axes: 2 },
  space: { name: "Three objectives", from: 3, axes: 3 },
  parallel: { name: "All objectives", from: 3, axes: 0 },
  projection: { name: "Map of policies", from: 4, axes: 0 },
};

function views() {
  const there = Object.keys(VIEWS).filter((view) => VIEWS[view].from <= count);
  state.view = count === 2 ? "plane" : count === 3 ? "space" : "parallel";
  by("views").hidden = there.length < 2;
  for (const view of there) {
    const button = html("button", { type: "button", id: `view-${view}`, "aria-pressed": view === state.view }, VIEWS[view].name);
    button.addEventListener("click", () => { state.view = view; views.update(); draw(); mark(); });
    by("views").append(button);
  }
  views.update = () => {
    for (const view of there) by(`view-${view}`).setAttribute("aria-pressed", view === state.view);
    axes();
  };
  axes();
}

// Which objectives the view shows, and how it is turned.
function axes() {
  const number_of = VIEWS[state.view].axes, holder = by("axes");
  holder.replaceChildren();
  if (number_of && number_of < count) {
    for (let a = 0; a < number_of; a++) {
      const select = html("select", { "aria-label": `objective of axis ${a + 1}` }, ...objectives.map((o, k) => html("option", { value: k }, o.name)));
      select.value = state.axes[a];
      select.addEventListener("change", () => {
        const wanted = Number(select.value), other = state.axes.slice(0, number_of).indexOf(wanted);
        if (other >= 0) state.axes[other] = state.axes[a];
        else if (state.axes.includes(wanted)) state.axes[state.axes.indexOf(wanted)] = state.axes[a];
        state.axes[a] = wanted;
        axes(); draw(); mark();
      });
      holder.append(select);
    }
  }
  if (state.view === "space") {
    for (const [kind, low, high] of [["yaw", -3.15, 3.15], ["tilt", -1.57, 1.57]]) {
      const input = html("input", { type: "range", min: low, max: high, step: 0.05, value: state.turn[kind], id: `turn-${kind}`, "aria-label": kind === "yaw" ? "turn" : "tilt" });
      input.addEventListener("input", () => { state.turn[kind] = Number(input.value); draw(); mark(); });
      holder.append(html("label", { class: "key" }, kind === "yaw" ? "turn" : "tilt", input));
    }
  }
}

function draw() {
  const holder = by("picture"), width = Math.max(260, holder.clientWidth), list = visible();
  const lying = state.view === "parallel" && width < 78 * count;
  const height = lying ? 54 * count + 20 : Math.round(Math.min(520, Math.max(300, width * 0.72)));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, class: state.view === "space" ? "turnable" : null });
  const names = objectives.map(named), notes = [];
  if (state.view === "plane") {
    const [x, y] = state.axes;
    drawn = plane(picture, width, height, list, {
      x: (front, i) => front.returns[i][x], y: (front, i) => front.returns[i][y], labels: { x: names[x], y: names[y] },
      known: known.map((row) => [row[x], row[y]]), stair: count === 2,
      error: (front, i) => (front.stderr[i][x] === null ? null : [front.stderr[i][x], front.stderr[i][y]]),
    });
    notes.push("Up and right is better; bars are two standard errors.");
  } else if (state.view === "space") {
    drawn = space(picture, width, height, list, state.axes, names, known, state.turn);
    notes.push("Drag to turn; an axis is best at its named end.");
  } else if (state.view === "parallel") {
    drawn = parallel(picture, width, height, list, names);
    notes.push(`A line is ${things === "objects" ? "an object" : "a policy"}; ${lying ? "further right" : "higher"} is better on every axis.`);
  } else {
    drawn = plane(picture, width, height, list, {
      x: (front, i) => front.projected[i][0], y: (front, i) => front.projected[i][1], labels: { none: true },
      arrows: data.axes.map((a, k) => ({ x: a[0], y: a[1], name: objectives[k].name })),
    });
    notes.push(`${capital(things)} close to each other have similar returns: the plane of most variance (${data.explained.map((x) => `${(100 * x).toFixed(0)} %`).join(" + ")}). Arrows point to where an objective is better.`);
  }
  if (known.length && ["plane", "space"].includes(state.view)) notes.push("Rings: the true front.");
  by("picture-note").textContent = notes.join(" ");
  drawn.layer = svg("g", { id: "marks" });
  picture.append(drawn.layer);
  holder.replaceChildren(picture);
  pointer(picture, width);
}

function mark() {
  drawn.layer.replaceChildren();
  const focused = fronts[state.focus];
  for (const front of visible()) if (front !== focused) drawn.mark(drawn.layer, front, chosen(front), false);
  if (!state.hidden.has(focused)) drawn.mark(drawn.layer, focused, chosen(focused), true);
}

// A click picks the nearest policy; a drag turns what can be turned.
function pointer(picture, width) {
  let start = null, dragged = false;
  picture.addEventListener("pointerdown", (event) => { start = [event.clientX, event.clientY, state.turn.yaw, state.turn.tilt]; dragged = false; });
  picture.addEventListener("pointermove", (event) => {
    if (!start || !event.buttons || state.view !== "space") return;
    const [dx, dy] = [event.clientX - start[0], event.clientY - start[1]];
    if (!dragged && Math.hypot(dx, dy) < 5) return;
    dragged = true;
    state.turn.yaw = wrapped(start[2] + dx * 0.01);
    state.turn.tilt = Math.min(1.57, Math.max(-1.57, start[3] + dy * 0.01));
    by("turn-yaw").value = state.turn.yaw;
    by("turn-tilt").value = state.turn.tilt;
    const again = start;
    draw(); mark();
    by("picture").firstChild.dispatchEvent(new CustomEvent("carry", { detail: again }));
  });
  picture.addEventListener("carry", (event) => { start = event.detail; dragged = true; });
  picture.addEventListener("pointerup", (event) => {
    if (start && !dragged) pick(event, picture, width);
    start = null;
  });
}
const wrapped = (angle) => angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));

function pick(event, picture, width) {
  const bounds = picture.getBoundingClientRect(), size = width / bounds.width;
  const [x, y] = [(event.clientX - bounds.left) * size, (event.clientY - bounds.top) * size];
  let best = null, least = 24;
  for (const front of visible()) front.returns.forEach((_, i) => {
    const distance = drawn.distance(front, i, x, y);
    if (distance < least) { least = distance; best = [fronts.indexOf(front), i]; }
  });
  if (best) focus(...best);
}

function legend() {
  by("legend").replaceChildren(...(fronts.length < 2 ? [] : fronts.map((front) => {
    const box = html("input", { type: "checkbox" });
    box.checked = !state.hidden.has(front);
    box.addEventListener("change", () => {
      if (box.checked) state.hidden.delete(front); else state.hidden.add(front);
      if (!visible().length) { state.hidden.delete(front); box.checked = true; }
      draw(); mark();
    });
    return html("label", { class: `key ${front.colour}` }, box, html("i", {}), front.label);
  })));
}

function numbers() {
  const shares = fronts.some((front) => front.metrics.share !== null);
  const plain = ["hypervolume", "expected_utility", "sparsity"]; // with a column of their own making
  const others = data.metrics.filter((metric) => !plain.includes(metric.name) && fronts.some((front) => front.metrics[metric.name] !== null));
  const heads = ["front", things, "hypervolume", ...(shares ? ["of the true front"] : []), "expected utility", "sparsity", ...others.map((metric) => metric.label), ...objectives.map((o) => `${named(o)}, chosen`)];
  const meanings = Object.fromEntries(others.map((metric) => [metric.label, `${metric.summary}${BETTER[metric.sign] ? `: ${BETTER[metric.sign]}` : ""}`]));
  by("numbers").append(html("thead", {}, html("tr", {}, ...heads.map((text) => html("th", { scope: "col", title: meanings[text] || null }, text)))));
  const body = html("tbody", {});
  fronts.forEach((front, index) => {
    const m = front.metrics;
    const cells = [
      String(front.returns.length), `${m.exact ? "" : "≈ "}${number(m.hypervolume, 5)}`,
      ...(shares ? [m.share === null ? "–" : `${(100 * m.share).toFixed(1)} %`] : []), number(m.expected_utility, 5), number(m.sparsity),
      ...others.map((metric) => number(m[metric.name])),
    ];
    const row = html("tr", { "data-front": index }, html("td", { class: `key ${front.colour}` }, html("i", {}), front.label), ...cells.map((text) => html("td", {}, text)));
    objectives.forEach(() => row.append(html("td", { class: "of-choice" })));
    body.append(row);
  });
  by("numbers").append(body);
  const references = [...new Set(data.runs.map((run) => vector(run.reference)))];
  const given = data.runs.some((run) => run.reference !== run.ownReference) ? ", as given to this report" : "";
  const approximate = fronts.some((front) => !front.metrics.exact) ? " ≈: approximate, usually to within a percent." : "";
  const notes = fronts.filter((front) => front.note).map((front) => ` ${front.label}: ${front.note}.`).join("");
  by("numbers-note").textContent = notes.trimStart() + (notes ? " " : "") + (references.length === 1
    ? `Reference point of the hypervolume: ${references[0]}${given}. Expected utility over equally spread preferences.${approximate} The last columns follow your sliders.`
    : `The runs have different reference points (${references.join("; ")}): their hypervolumes do not compare; --reference-point or morl compare puts them on one.${approximate}`);
  by("numbers-note").after(...data.protocol.map((line) => html("p", { class: "hint" }, `${capital(line)}.`)));
}

function numbersOf(row, index) {
  const front = fronts[index], i = chosen(front);
  row.querySelectorAll(".of-choice").forEach((cell, k) => { cell.textContent = number(front.returns[i][k]); });
}

function curves() {
  panels(by("curves"), data.runs);
  const seeds = data.runs.some((run) => run.history.seeds > 1);
  const own = [...new Set(data.runs.map((run) => vector(run.ownReference)))].join("; ");
  const reference = data.runs.some((run) => run.reference !== run.ownReference) ? ` The hypervolume here is above the reference point of the training, ${own}.` : "";
  by("history-note").textContent = `By the estimates that training made, which are higher than what fresh episodes give.${reference}${seeds ? " Line: mean over the seeds; band: from the lowest seed to the highest." : ""}`;
  by("history-legend").replaceChildren(...(several ? data.runs.map((run) => html("span", { class: `key ${run.colour}` }, html("i", {}), run.label)) : []));
  by("history").hidden = !by("curves").children.length;
}

function policies() {
  const front = fronts[state.focus];
  by("policies-summary").textContent = `${front.returns.length > 1 ? "All " : ""}${counted(front.returns.length, front.objects ? "objects" : "policies")} of ${front.label}`;
  const own = front.objects || front.run.conditional, alone = front.withoutBonus;
  const heads = ["id", ...(front.objects ? ["object"] : []), ...objectives.map(named), ...(alone ? objectives.map((o) => `${named(o)} without bonus`) : []),
    ...(own ? objectives.map((o) => `preference: ${o.name}`) : []), ...objectives.map((o) => `best for weight of ${o.name}`), "steps"];
  const body = html("tbody", {});
  front.returns.forEach((returns, i) => {
    const button = html("button", { type: "button", "aria-label": `pick ${front.objects ? "object" : "policy"} ${i}` }, String(i));
    button.addEventListener("click", () => { state.picked = i; choose(); });
    const errors = returns.map((x, k) => `${number(x)}${front.stderr[i][k] === null ? "" : ` ± ${number(front.stderr[i][k], 2)}`}`);
    const texts = [...(front.objects ? [front.objects[i]] : []), ...errors, ...(alone ? alone[i].map((x) => number(x)) : []),
      ...(own ? front.preferences[i].map((x) => number(x, 3)) : []), ...(front.bestFor[i] || objectives.map(() => null)).map(weightRange), number(front.length[i])];
    body.append(html("tr", { "data-row": i }, html("td", {}, button), ...texts.map((text) => html("td", {}, text))));
  });
  by("table").replaceChildren(html("thead", {}, html("tr", {}, ...heads.map((text) => html("th", { scope: "col" }, text)))), body);
}

function configuration() {
  data.runs.forEach((run, r) => {
    const holder = by("commands");
    holder.append(html("h3", {}, several ? run.label : "Train it again"));
    [["again", run.again, "from the run directory"], ["whole", run.command, "without it"]].forEach(([kind, text, title]) => {
      const id = `${kind}-${r}`;
      holder.append(html("div", { class: "command", title }, html("code", { id }, text), html("button", { type: "button", "data-copies": id }, "Copy")));
    });
    const { versions, ...others } = run.notes;
    holder.append(html("p", { class: "hint" }, Object.entries(others).map(([name, text]) => `${name} ${text}`).join(" · "), versions ? ` · ${versions}` : ""));
  });
  const names = [...new Set(data.runs.flatMap((run) => Object.keys(run.settings)))];
  const rows = names.map((name) => {
    const texts = data.runs.map((run) => (name in run.settings ? run.settings[name] : "–"));
    return { name, texts, differs: new Set(texts).size > 1 };
  });
  rows.sort((a, b) => Number(b.differs) - Number(a.differs));
  if (several) by("settings").append(html("thead", {}, html("tr", {}, html("th", {}, "setting"), ...data.runs.map((run) => html("th", { scope: "col" }, run.label)))));
  by("settings").append(html("tbody", {}, ...rows.map((row) => html("tr", { class: row.differs ? "differs" : null }, html("td", {}, row.name), ...row.texts.map((text) => html("td", {}, text))))));
}

function copies() {
  document.addEventListener("click", async (event) => {
    const id = event.target.dataset && event.target.dataset.copies;
    if (!id) return;
    const range = document.createRange();
    range.selectNodeContents(by(id));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(by(id).textContent);
      event.target.textContent = "Copied";
    } catch (error) { // a browser that does not let files do that: the text is selected
      event.target.textContent = "Selected";
    }
    setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
  });
}

by("picture").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const front = fronts[state.focus], total = front.returns.length;
  state.picked = (chosen(front) + step + total) % total;
  choose();
});

header();
sliders();
views();
legend();
numbers();
policies();
configuration();
copies();
draw();
curves();
choose();
prefer();
let seen = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === seen) return; // a phone's address bar coming and going
  seen = innerWidth;
  draw(); curves(); mark();
});
