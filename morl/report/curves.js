
// Metrics over the steps of training: the mean over a run's seeds, and a band from the least to the most.

// Title and meaning of what is not said by the metric's registration.
const TITLES = { front_size: ["Size of the front", ""], sparsity: ["Sparsity", "lower is denser; says nothing of how good a front is"] };
const BETTER = { 1: "higher is better", "-1": "lower is better", 0: "" };
function titled(name) {
  if (name in data.best) return [`Best return: ${named(objectives.find((o) => o.name === data.best[name]))}`, "the largest over the front; higher is better"];
  const metric = data.metrics.find((m) => m.name === name);
  return TITLES[name] || [capital(metric.summary), BETTER[metric.sign]];
}
const inThousands = (x) => (Math.abs(x) >= 1e6 ? `${number(x / 1e6, 3)}M` : Math.abs(x) >= 1e4 ? `${number(x / 1e3, 3)}k` : number(x, 3));

// All panels are there before any is drawn: how wide one is depends on how many there are.
function panels(holder, runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.history)))].filter((name) => name !== "step" && name !== "seeds");
  const made = names.map((metric) => {
    const shown = runs.filter((run) => run.history[metric] && run.history[metric].mean.some((x) => x !== null));
    const [title, meaning] = titled(metric), readout = html("p", {}, meaning), box = html("div", {});
    return { metric, shown, title, meaning, readout, box };
  }).filter((panel) => panel.shown.length);
  holder.replaceChildren(...made.map((panel) => html("div", {}, html("h3", {}, panel.title), panel.readout, panel.box)));
  for (const panel of made) curve(panel, runs.length > 1);
}

function curve({ metric, shown, title, meaning, readout, box }, several) {
  const width = Math.max(240, box.clientWidth), height = 210;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${title} over environment steps` });
  const steps = extent([0, ...shown.flatMap((run) => run.history.step)]);
  const values = padded(extent(shown.flatMap((run) => [...run.history[metric].low, ...run.history[metric].high])));
  const at = frame(picture, width, height, steps, values, { x: "environment steps of one seed", tick: inThousands });
  for (const run of shown) {
    const there = run.history.step.map((step, i) => ({ step, i })).filter(({ i }) => run.history[metric].mean[i] !== null);
    const points = (kind) => there.map(({ step, i }) => `${at.x(step).toFixed(1)},${at.y(run.history[metric][kind][i]).toFixed(1)}`);
    if (!there.length) continue;
    if (run.history.seeds > 1) picture.append(svg("path", { class: `band ${run.colour}`, d: `M${points("high").join("L")}L${points("low").reverse().join("L")}Z` }));
    if (there.length === 1) picture.append(svg("circle", { class: `point ${run.colour}`, cx: at.x(there[0].step), cy: at.y(run.history[metric].mean[there[0].i]), r: 4 }));
    picture.append(svg("path", { class: `curve ${run.colour}`, d: `M${points("mean").join("L")}` }));
  }
  const hair = svg("line", { class: "hair", y1: at.top, y2: at.bottom, visibility: "hidden" });
  picture.append(hair);
  picture.addEventListener("pointermove", (event) => {
    const bounds = picture.getBoundingClientRect(), x = ((event.clientX - bounds.left) / bounds.width) * width;
    const all = shown.flatMap((run) => run.history.step);
    const step = all.reduce((best, s) => (Math.abs(at.x(s) - x) < Math.abs(at.x(best) - x) ? s : best), all[0]);
    hair.setAttribute("x1", at.x(step)); hair.setAttribute("x2", at.x(step)); hair.setAttribute("visibility", "visible");
    const texts = shown.map((run) => {
      const i = run.history.step.indexOf(step), { mean, low, high } = run.history[metric];
      if (i < 0) return null;
      return `${several ? `${run.label}: ` : ""}${number(mean[i])}${run.history.seeds > 1 ? ` (${number(low[i])} to ${number(high[i])})` : ""}`;
    });
    readout.textContent = `at ${number(step, 9)} steps: ${texts.filter((t) => t !== null).join("; ")}`;
  });
  picture.addEventListener("pointerleave", () => { hair.setAttribute("visibility", "hidden"); readout.textContent = meaning; });
  box.append(picture);
}
