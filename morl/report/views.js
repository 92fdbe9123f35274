
// Views of the front. Each draws into an SVG and returns how to mark one policy and how far a pointer is from it.

const RADIUS = 4;

function plane(picture, width, height, fronts, shape) {
  // shape: {x, y: (front, i) -> number, labels, known: [[x, y]], error: (front, i) -> [dx, dy] | null, stair, arrows}
  const all = fronts.flatMap((front) => front.returns.map((_, i) => [shape.x(front, i), shape.y(front, i)])).concat(shape.known || []);
  const xs = padded(extent(all.map((p) => p[0]))), ys = padded(extent(all.map((p) => p[1])));
  const at = frame(picture, width, height, xs, ys, shape.labels);
  for (const [x, y] of shape.known || []) picture.append(svg("circle", { class: "known", cx: at.x(x), cy: at.y(y), r: RADIUS + 2.5 }));
  for (const front of fronts) {
    const group = svg("g", { class: front.colour });
    if (shape.stair) group.append(svg("path", { class: "stair", d: stairs(front.returns.map((_, i) => [at.x(shape.x(front, i)), at.y(shape.y(front, i))])) }));
    front.returns.forEach((_, i) => {
      const x = at.x(shape.x(front, i)), y = at.y(shape.y(front, i)), error = shape.error && shape.error(front, i);
      if (error) {
        const dx = Math.abs(at.x(xs[0] + 2 * error[0]) - at.x(xs[0])), dy = Math.abs(at.y(ys[0] + 2 * error[1]) - at.y(ys[0]));
        if (dx > RADIUS) group.append(svg("line", { class: "error", x1: x - dx, x2: x + dx, y1: y, y2: y }));
        if (dy > RADIUS) group.append(svg("line", { class: "error", x1: x, x2: x, y1: y - dy, y2: y + dy }));
      }
      group.append(svg("circle", { class: "point", cx: x, cy: y, r: RADIUS }));
    });
    picture.append(group);
  }
  if (shape.arrows) arrows(picture, at, shape.arrows);
  return marker((front, i) => [at.x(shape.x(front, i)), at.y(shape.y(front, i))]);
}

function stairs(points) {
  const sorted = points.slice().sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  return sorted.map(([x, y], i) => (i ? `V${y}H${x}` : `M${x},${y}`)).join("");
}

function arrows(picture, at, list) {
  const middle = [(at.left + at.right) / 2, (at.top + at.bottom) / 2];
  const reach = Math.min(at.right - at.left, at.bottom - at.top) * 0.42;
  const longest = Math.max(...list.map((a) => Math.hypot(a.x, a.y))) || 1;
  for (const arrow of list) {
    const dx = (arrow.x / longest) * reach, dy = (-arrow.y / longest) * reach;
    picture.append(svg("line", { class: "arrow", x1: middle[0], y1: middle[1], x2: middle[0] + dx, y2: middle[1] + dy }));
    const anchor = dx > 8 ? "start" : dx < -8 ? "end" : "middle";
    picture.append(svg("text", { x: middle[0] + dx * 1.05, y: middle[1] + dy * 1.05 + 4, "text-anchor": anchor }, shortened(arrow.name, 120)));
  }
}

function space(picture, width, height, fronts, axes, names, known, turn) {
  const values = axes.map((a) => extent(fronts.flatMap((front) => front.returns.map((r) => r[a])).concat(known.map((r) => r[a]))));
  const size = Math.min(width * 0.3, height * 0.29), centre = [width / 2, height / 2];
  const [sy, cy, sp, cp] = [Math.sin(turn.yaw), Math.cos(turn.yaw), Math.sin(turn.tilt), Math.cos(turn.tilt)];
  const project = (u) => { // of the cube [-1, 1]^3, the third axis up
    const [x, z] = [u[0] * cy - u[1] * sy, u[0] * sy + u[1] * cy];
    return [centre[0] + size * x, centre[1] - size * (u[2] * cp - z * sp), z * cp + u[2] * sp];
  };
  const place = (row) => project(axes.map((a, k) => (2 * (row[a] - values[k][0])) / (values[k][1] - values[k][0]) - 1));
  const line = (from, to, kind) => {
    const [a, b] = [project(from), project(to)];
    picture.append(svg("line", { class: kind, x1: a[0], y1: a[1], x2: b[0], y2: b[1] }));
  };
  for (const k of [0, 1, 2]) for (const p of [-1, 1]) for (const q of [-1, 1]) {
    const from = [p, p, p], others = [0, 1, 2].filter((x) => x !== k);
    from[others[0]] = p; from[others[1]] = q; from[k] = -1;
    const to = from.slice(); to[k] = 1;
    line(from, to, p === -1 && q === -1 ? "frame" : "grid");
  }
  for (const k of [0, 1, 2]) {
    const end = project([0, 1, 2].map((x) => (x === k ? 1.14 : -1))), x = Math.min(Math.max(end[0], 60), width - 60);
    const y = Math.min(Math.max(end[1] < centre[1] ? end[1] - 16 : end[1] + 10, 14), height - 22);
    picture.append(svg("text", { class: "axis", x, y, "text-anchor": "middle" }, shortened(names[axes[k]], 120)));
    picture.append(svg("text", { x, y: y + 15, "text-anchor": "middle" }, told(values[k])));
  }
  for (const row of known) { const [x, y] = place(row); picture.append(svg("circle", { class: "known", cx: x, cy: y, r: RADIUS + 2 })); }
  const points = fronts.flatMap((front) => front.returns.map((row) => ({ front, at: place(row) })));
  points.sort((a, b) => b.at[2] - a.at[2]);
  for (const { front, at } of points) {
    const near = (1.7 - at[2]) / 3.4;
    picture.append(svg("circle", { class: `point ${front.colour}`, cx: at[0], cy: at[1], r: 2.5 + 3 * Math.min(1, Math.max(0, near)) }));
  }
  return marker((front, i) => place(front.returns[i]));
}

// Parallel coordinates; where it is narrow the axes lie one above the other.
function parallel(picture, width, height, fronts, names) {
  const count = names.length, lying = width < 78 * count;
  const ranges = names.map((_, k) => extent(fronts.flatMap((front) => front.returns.map((r) => r[k]))));
  const margin = lying ? [30, 24] : [30, 46];
  const along = (k) => (lying ? margin[0] + (k * (height - margin[0] - margin[1])) / (count - 1) : 48 + (k * (width - 96)) / (count - 1));
  const across = ranges.map((range) => (lying ? scale(range, 14, width - 14) : scale(range, height - margin[1], margin[0])));
  const spot = (row, k) => (lying ? [across[k](row[k]), along(k)] : [along(k), across[k](row[k])]);
  const path = (row) => `M${names.map((_, k) => spot(row, k).map((x) => x.toFixed(1)).join(",")).join("L")}`;
  const lines = fronts.reduce((sum, front) => sum + front.returns.length, 0);
  for (const front of fronts) {
    const group = svg("g", { class: front.colour, opacity: Math.min(0.5, Math.max(0.1, 40 / lines)) });
    for (const row of front.returns) group.append(svg("path", { class: "trace", d: path(row) }));
    picture.append(group);
  }
  names.forEach((name, k) => {
    const place = along(k), [low, high] = ends(ranges[k]);
    if (lying) {
      picture.append(svg("line", { class: "frame", x1: 14, x2: width - 14, y1: place, y2: place }));
      picture.append(svg("text", { x: 14, y: place - 6 }, low));
      picture.append(svg("text", { x: width - 14, y: place - 6, "text-anchor": "end" }, high));
      picture.append(svg("text", { class: "axis", x: width / 2, y: place - 6, "text-anchor": "middle" }, shortened(name, width - 150)));
    } else {
      picture.append(svg("line", { class: "frame", x1: place, x2: place, y1: margin[0], y2: height - margin[1] }));
      picture.append(svg("text", { x: place, y: margin[0] - 8, "text-anchor": "middle" }, high));
      picture.append(svg("text", { x: place, y: height - margin[1] + 16, "text-anchor": "middle" }, low));
      picture.append(svg("text", { class: "axis", x: place, y: height - (k % 2 && count > 6 ? 0 : 14), "text-anchor": "middle" }, shortened(name, ((width - 96) / (count - 1)) * (count > 6 ? 1.9 : 0.95))));
    }
  });
  return {
    mark: (layer, front, i, focus) => layer.append(svg("path", { class: `line chosen ${focus ? "focus" : ""} ${front.colour}`, d: path(front.returns[i]) })),
    distance: (front, i, x, y) => {
      const here = lying ? y : x;
      let k = 0;
      while (k < count - 2 && along(k + 1) < here) k++;
      const [a, b] = [spot(front.returns[i], k), spot(front.returns[i], k + 1)], share = Math.min(1, Math.max(0, (here - along(k)) / (along(k + 1) - along(k))));
      return Math.abs(a[lying ? 0 : 1] * (1 - share) + b[lying ? 0 : 1] * share - (lying ? x : y));
    },
  };
}

function marker(at) {
  return {
    mark: (layer, front, i, focus) => {
      const [x, y] = at(front, i);
      layer.append(svg("circle", { class: `chosen ${focus ? "focus" : ""} ${front.colour}`, cx: x, cy: y, r: RADIUS + (focus ? 4 : 3) }));
    },
    distance: (front, i, x, y) => Math.hypot(at(front, i)[0] - x, at(front, i)[1] - y),
  };
}
