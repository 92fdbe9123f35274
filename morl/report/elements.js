
"use strict";
// Elements, numbers and scales. Texts are set as text: nothing of the data is ever parsed as markup.

const by = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== false) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}
const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function number(x, digits = 4) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return x.toExponential(digits - 1);
  return x.toLocaleString("en-US", { maximumSignificantDigits: digits }).replace("-", "−");
}
// The two ends of a range, with as many digits as it takes to tell them apart; of one value, that value twice.
function ends(range) {
  const [low, high] = range.only === undefined ? range : [range.only, range.only];
  let digits = 3;
  while (digits < 9 && low !== high && number(low, digits) === number(high, digits)) digits++;
  return [number(low, digits), number(high, digits)];
}
const told = (range) => [...new Set(ends(range))].join(" to ");
const counted = (n, things) => `${n} ${n !== 1 ? things : things === "policies" ? "policy" : things.replace(/s$/, "")}`;
// A vector's text: minus signs as everywhere here, and never on two lines.
const vector = (text) => text.replaceAll("-", "−").replaceAll(" ", "\u00a0");
const named = (objective) => (objective.unit ? `${objective.name} (${objective.unit})` : objective.name);

// The smallest and largest of values; around a single value a range to draw it in, with that value as `only`.
function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const x of values) if (x !== null) { low = Math.min(low, x); high = Math.max(high, x); }
  if (low > high) return [0, 1];
  if (low === high) { const pad = Math.abs(low) * 0.05 || 1; return Object.assign([low - pad, high + pad], { only: low }); }
  return [low, high];
}
function padded([low, high], share = 0.05) {
  const pad = (high - low) * share;
  return [low - pad, high + pad];
}
function ticks([low, high], most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}
const scale = ([low, high], from, to) => (x) => from + ((x - low) / (high - low)) * (to - from);

// A frame of two axes in a picture of width x height; gives the two scales.
function frame(picture, width, height, x, y, labels) {
  const left = 58, right = width - 14, top = labels.y ? 26 : 8, bottom = height - (labels.x ? 40 : 24);
  const at = { x: scale(x, left, right), y: scale(y, bottom, top), left, right, top, bottom };
  for (const t of ticks(y, Math.max(2, (bottom - top) / 45))) {
    picture.append(svg("line", { class: "grid", x1: left, x2: right, y1: at.y(t), y2: at.y(t) }));
    picture.append(svg("text", { x: left - 6, y: at.y(t) + 4, "text-anchor": "end" }, labels.none ? "" : number(t)));
  }
  for (const t of ticks(x, Math.max(2, (right - left) / 85))) {
    picture.append(svg("line", { class: "grid", x1: at.x(t), x2: at.x(t), y1: top, y2: bottom }));
    picture.append(svg("text", { x: at.x(t), y: bottom + 16, "text-anchor": "middle" }, labels.none ? "" : labels.tick ? labels.tick(t) : number(t)));
  }
  if (labels.x) picture.append(svg("text", { class: "axis", x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, shortened(labels.x, right - left)));
  if (labels.y) picture.append(svg("text", { class: "axis", x: 4, y: 14 }, shortened(labels.y, width - 10)));
  return at;
}
function shortened(text, pixels) {
  const most = Math.max(4, Math.floor(pixels / 7));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
