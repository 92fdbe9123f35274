
// Which policy a person likes best, by asking which of two is better: the method of morl/analysis/preference. Answers
// stay in this browser (localStorage).

const LIKING = { particles: 512, moves: 12, shortest: 0.03, noise: 0.01, lapses: 0.02, near: 0.05, candidates: 24, base: 0.1, power: -3, order: 8, questions: 10, sure: 0.95, close: 0.02 };

// Numbers between 0 and 1, the same ones from the same seed (mulberry32), and normal ones.
function chanceOf(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

// Weights of a particle [z_0, z_0', z_1, ...]: squared lengths of pairs of normals; the angle of the last pair is the family.
function weightsOf(latent) {
  const sizes = [];
  for (let k = 0; k + 3 < latent.length; k += 2) sizes.push(latent[k] ** 2 + latent[k + 1] ** 2);
  const total = sizes.reduce((a, b) => a + b, 0);
  return sizes.map((x) => x / total);
}
function familyOf(latent) {
  const share = Math.atan2(latent[latent.length - 2], latent[latent.length - 1]) / (2 * Math.PI) + 0.5;
  return Math.min(4, Math.max(0, Math.floor(share * 5)));
}

// Utilities of points in the ranges of the front: linear twice, power means of powers 0 and -3, distance to the ideal point.
function utilitiesOf(latent, points) {
  const w = weightsOf(latent), family = familyOf(latent), { base, power, order } = LIKING;
  const sum = (point, of) => point.reduce((total, x, k) => total + of(x, w[k]), 0);
  if (family < 2) return points.map((point) => sum(point, (x, v) => v * x));
  if (family === 2) return points.map((point) => Math.exp(sum(point, (x, v) => v * Math.log(x + base))) - base);
  if (family === 3) return points.map((point) => sum(point, (x, v) => v * (x + base) ** power) ** (1 / power) - base);
  const most = Math.max(...w), whole = sum(w, (v) => (v / most) ** order);
  return points.map((point) => 1 - (sum(point, (x, v) => ((v / most) * (1 - x)) ** order) / whole) ** (1 / order));
}
const preferring = (difference) => LIKING.lapses / 2 + (1 - LIKING.lapses) / (1 + Math.exp(-difference / LIKING.noise));
const likelihood = (difference, share) => share * Math.log(preferring(difference)) + (1 - share) * Math.log(1 - preferring(difference));

// The posterior of a person's utility over the policies of a front.
class Liking {
  constructor(returns) {
    const ranges = returns[0].map((_, k) => [Math.min(...returns.map((row) => row[k])), Math.max(...returns.map((row) => row[k]))]);
    this.points = returns.map((row) => row.map((x, k) => (ranges[k][1] > ranges[k][0] ? (x - ranges[k][0]) / (ranges[k][1] - ranges[k][0]) : 1)));
    this.chance = chanceOf(1);
    this.answers = [];
    this.particles = Array.from({ length: LIKING.particles }, () => Array.from({ length: 2 * returns[0].length + 2 }, this.chance.normal));
    this.height = this.particles.map(() => 0);
    this.values = this.particles.map((latent) => utilitiesOf(latent, this.points));
  }
  // The share is 1 where a is better, 0 where b is, 0.5 where they are as good.
  tell(a, b, share) {
    this.answers.push([a, b, share]);
    const logs = this.values.map((values) => likelihood(values[a] - values[b], share)), most = Math.max(...logs);
    const chances = logs.map((x) => Math.exp(x - most)), total = chances.reduce((x, y) => x + y, 0);
    const kept = [], place = this.chance.uniform();
    for (let i = 0, sum = chances[0]; kept.length < chances.length;) {
      if (((kept.length + place) / chances.length) * total <= sum || i === chances.length - 1) kept.push(i);
      else sum += chances[++i];
    }
    this.height = kept.map((i) => this.height[i] + logs[i]);
    this.particles = kept.map((i) => this.particles[i]);
    const points = this.answers.flatMap(([x, y]) => [this.points[x], this.points[y]]);
    for (let m = 0; m < LIKING.moves; m++) this.particles.forEach((now, i) => {
      const step = LIKING.shortest ** this.chance.uniform();
      const proposed = now.map((x) => Math.sqrt(1 - step * step) * x + step * this.chance.normal());
      const values = utilitiesOf(proposed, points);
      const height = this.answers.reduce((sum, [, , said], q) => sum + likelihood(values[2 * q] - values[2 * q + 1], said), 0);
      if (Math.log(1 - this.chance.uniform()) < height - this.height[i]) { this.particles[i] = proposed; this.height[i] = height; }
    });
    this.values = this.particles.map((latent) => utilitiesOf(latent, this.points));
  }
  // The pair with the largest expected utility of the policy that will be named after its answer; null if all were asked.
  question() {
    const best = this.values.map((values) => Math.max(...values));
    const near = this.points.map((_, i) => this.values.reduce((sum, values, p) => sum + Math.exp((values[i] - best[p]) / LIKING.near), 0));
    const rows = near.map((_, i) => i).sort((i, j) => near[j] - near[i]).slice(0, LIKING.candidates);
    const asked = new Set(this.answers.map(([a, b]) => `${Math.min(a, b)} ${Math.max(a, b)}`));
    let found = null, most = -Infinity;
    rows.forEach((a, x) => rows.slice(x + 1).forEach((b) => {
      if (asked.has(`${Math.min(a, b)} ${Math.max(a, b)}`)) return;
      const said = rows.map(() => 0), not = rows.map(() => 0);
      for (const values of this.values) {
        const p = preferring(values[a] - values[b]);
        rows.forEach((i, k) => { said[k] += p * values[i]; not[k] += (1 - p) * values[i]; });
      }
      const worth = Math.max(...said) + Math.max(...not);
      if (worth > most) { most = worth; found = [a, b]; }
    }));
    return found;
  }
  verdict() {
    const mean = this.points.map((_, i) => this.values.reduce((sum, values) => sum + values[i], 0));
    const policy = mean.indexOf(Math.max(...mean)), count = this.values.length;
    const share = (test) => this.values.filter(test).length / count;
    return {
      policy,
      best: share((values) => values[policy] >= Math.max(...values)),
      close: share((values) => Math.max(...values) - values[policy] <= LIKING.close * (Math.max(...values) - Math.min(...values))),
      importance: objectives.map((_, k) => this.particles.reduce((sum, latent) => sum + weightsOf(latent)[k], 0) / count),
    };
  }
}

// Where a browser keeps the answers about a front; some keep nothing for files.
function kept(front, answers) {
  const text = JSON.stringify([data.env, objectives.map((o) => o.name), front.returns]);
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  const name = `morl answers ${hash >>> 0}`;
  try {
    if (answers) localStorage.setItem(name, JSON.stringify(answers));
    const found = JSON.parse(localStorage.getItem(name) || "[]"), row = (x) => Number.isInteger(x) && x >= 0 && x < front.returns.length;
    return Array.isArray(found) ? found.filter((x) => Array.isArray(x) && row(x[0]) && row(x[1]) && x[0] !== x[1] && [0, 0.5, 1].includes(x[2])) : [];
  } catch (error) {
    return answers || [];
  }
}

// The panel for the front in focus; it computes nothing before the first click, unless there are answers.
function prefer(start = false) {
  const front = fronts[state.focus], thing = front.objects ? "object" : "policy";
  by("prefer").hidden = front.returns.length < 2;
  by("prefer-title").textContent = `Or compare ${things}`;
  const answers = kept(front);
  if (!start && !front.liking && !answers.length) {
    by("prefer-note").textContent = `At most ten times you say which of two is better; then the ${thing} that you like best is named. Your answers stay in this browser.`;
    const button = html("button", { type: "button", id: "prefer-start" }, "Start");
    button.addEventListener("click", () => prefer(true));
    by("prefer-question").replaceChildren();
    by("prefer-buttons").replaceChildren(button);
    return;
  }
  if (!front.liking) {
    front.liking = new Liking(front.returns);
    for (const answer of answers) front.liking.tell(...answer);
  }
  const liking = front.liking, verdict = liking.verdict(), asked = liking.answers.length;
  const over = asked >= LIKING.questions || verdict.close >= LIKING.sure, pair = over ? null : liking.question();
  const percent = (x) => `${(100 * x).toFixed(0)} %`;
  by("prefer-note").textContent = asked ? `After ${counted(asked, "answers")}: ${thing} ${verdict.policy}. It is the best for you with probability ${percent(verdict.best)}, and within 2 % of the best with ${percent(verdict.close)}. Importance of ${objectives.map((o, k) => `${o.name} ${percent(verdict.importance[k])}`).join(", ")}, each counted in its range over the front.` : "Which one is better?";
  by("prefer-question").replaceChildren(...(pair ? objectives.map((objective, k) => compared(objective, k, front, pair)) : []));
  const say = (text, share, id) => {
    const button = html("button", { type: "button", id }, text);
    button.addEventListener("click", () => {
      liking.tell(...pair, share);
      kept(front, liking.answers);
      focus(state.focus, liking.verdict().policy);
      prefer(true);
    });
    return button;
  };
  const again = html("button", { type: "button", id: "prefer-again" }, "Begin anew");
  again.addEventListener("click", () => { kept(front, []); delete front.liking; prefer(); });
  const show = html("button", { type: "button", id: "prefer-show" }, `Show ${thing} ${verdict.policy}`);
  show.addEventListener("click", () => focus(state.focus, verdict.policy));
  by("prefer-buttons").replaceChildren(...(pair ? [say(`A: ${thing} ${pair[0]}`, 1, "prefer-a"), say(`B: ${thing} ${pair[1]}`, 0, "prefer-b"), say("As good", 0.5, "prefer-same")] : []), ...(asked ? [show, again] : []));
}

// An objective of the two policies of a question: numbers, and bars from the worst to the best of all that are shown.
function compared(objective, k, front, pair) {
  const lines = pair.map((i, side) => {
    const bar = html("i", {});
    bar.style.width = `${(100 * (front.returns[i][k] - ranges[k][0])) / (ranges[k][1] - ranges[k][0])}%`;
    return html("div", { class: "compared" }, html("b", {}, "AB"[side]), html("span", { class: `bar ${front.colour}` }, bar), html("span", {}, number(front.returns[i][k])));
  });
  return html("div", { class: "return" }, html("span", { class: "name" }, named(objective)), html("div", {}, ...lines));
}
