"use strict";
// The charts of the report: lines and a map, drawn as SVG at the width that there is, answering to mouse, finger
// and arrow keys. No library; the data stand in the page as JSON.

const svgNS = "http://www.w3.org/2000/svg";

function el(parent, name, attributes, text) {
  const node = document.createElementNS(svgNS, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
}

function html(parent, name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.appendChild(node);
  return node;
}

// format writes a number with about three digits, and whole ones in full.
function format(v) {
  if (v === null || v === undefined) return "–";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (Number.isInteger(v) && size < 1e9) return String(v);
  if (size >= 1e6 || size < 1e-3) return v.toExponential(2).replace(/\.?0+e/, "e").replace("e-", "e−").replace("e+", "e");
  return String(Number(v.toPrecision(size >= 100 ? 4 : 3)));
}

// ticks are about `count` round numbers from lo to hi.
function ticks(lo, hi, count) {
  const rough = (hi - lo) / count, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= rough * 0.999) || 10 * power;
  const out = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

const colour = i => `var(--c${i % 7})`;

// legend makes a button for each entry, which shows and hides it, and returns what writes values into them.
function legend(parent, entries, changed) {
  return entries.map(entry => {
    const button = html(parent, "button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const dot = html(button, "i");
    dot.style.borderColor = colour(entry.colour);
    dot.style.background = entry.ring ? "transparent" : colour(entry.colour);
    const text = html(button, "span", "", entry.name);
    button.addEventListener("click", () => {
      entry.hidden = !entry.hidden;
      button.setAttribute("aria-pressed", String(!entry.hidden));
      changed();
    });
    return value => { text.textContent = value === undefined ? entry.name : `${entry.name} ${value}`; };
  });
}

// lineChart draws curves over a common x. A series is {name, colour, level, points: [[x, y], ...]}; y may be null.
function lineChart(box, spec) {
  html(box, "h3", "", spec.title);
  html(box, "p", "unit", `${spec.y} over ${spec.x}`);
  const keys = html(box, "div", "legend");
  const at = html(null, "span", "at");
  const svg = el(box, "svg", { role: "img", tabindex: "0", "aria-label": `${spec.title}: ${spec.y} over ${spec.x}` });
  const write = legend(keys, spec.series, () => draw());
  keys.appendChild(at);
  let geometry = null, cursor = null;

  const xs = [...new Set(spec.series.filter(s => !s.level).flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);

  function draw() {
    const width = Math.max(280, Math.round(box.clientWidth || 600)), height = Math.round(Math.min(300, Math.max(190, width * 0.52)));
    const shown = spec.series.filter(s => !s.hidden);
    const values = shown.flatMap(s => s.level ? [s.points[0][1]] : s.points.map(p => p[1])).filter(v => v !== null);
    let lo = Math.min(...values), hi = Math.max(...values);
    if (spec.min !== undefined) { lo = spec.min; hi = spec.max; }
    else if (!values.length) { lo = 0; hi = 1; }
    else if (hi - lo < 1e-12) { lo -= Math.abs(lo) / 2 || 0.5; hi += Math.abs(hi) / 2 || 0.5; }
    else { const room = 0.06 * (hi - lo); lo -= room; hi += room; if (lo < 0 && Math.min(...values) >= 0) lo = 0; }
    let left = xs[0], right = xs[xs.length - 1];
    if (left === right) { left -= 1; right += 1; }
    const yTicks = ticks(lo, hi, 5), labels = yTicks.map(format);
    const m = { left: 12 + 7 * Math.max(...labels.map(l => l.length)), right: 14, top: 8, bottom: 26 };
    const x = v => m.left + (v - left) / (right - left) * (width - m.left - m.right);
    const y = v => height - m.bottom - (v - lo) / (hi - lo) * (height - m.top - m.bottom);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    yTicks.forEach((v, i) => {
      el(svg, "line", { x1: m.left, x2: width - m.right, y1: y(v), y2: y(v), stroke: "var(--grid)" });
      el(svg, "text", { x: m.left - 6, y: y(v) + 4, "text-anchor": "end" }, labels[i]);
    });
    ticks(left, right, width < 420 ? 4 : 7).filter(v => Number.isInteger(v)).forEach(v =>
      el(svg, "text", { x: Math.min(Math.max(x(v), m.left + 2), width - m.right - 6), y: height - 8, "text-anchor": "middle" }, format(v)));
    el(svg, "line", { x1: m.left, x2: width - m.right, y1: height - m.bottom, y2: height - m.bottom, stroke: "var(--line)" });
    for (const s of shown) {
      if (s.level) {
        el(svg, "line", { x1: m.left, x2: width - m.right, y1: y(s.points[0][1]), y2: y(s.points[0][1]),
          stroke: colour(s.colour), "stroke-width": 1.5, "stroke-dasharray": "6 4" });
        continue;
      }
      let path = "", pen = false;
      for (const [px, py] of s.points) {
        if (py === null) { pen = false; continue; }
        path += `${pen ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`;
        pen = true;
      }
      el(svg, "path", { d: path, fill: "none", stroke: colour(s.colour), "stroke-width": 2, "stroke-linejoin": "round", "stroke-linecap": "round" });
      const known = s.points.filter(p => p[1] !== null);
      if (known.length < 40) for (const p of known) el(svg, "circle", { cx: x(p[0]), cy: y(p[1]), r: 2.6, fill: colour(s.colour) });
    }
    geometry = { x, y, m, width, height, left, right };
    if (cursor !== null) point(cursor);
  }

  // near is the index of the point of a series whose x is nearest.
  function near(points, v) {
    let lo = 0, hi = points.length - 1;
    while (hi - lo > 1) { const mid = (lo + hi) >> 1; if (points[mid][0] < v) lo = mid; else hi = mid; }
    return Math.abs(points[lo][0] - v) <= Math.abs(points[hi][0] - v) ? lo : hi;
  }

  function point(v) {
    cursor = v;
    svg.querySelectorAll(".cursor").forEach(n => n.remove());
    if (v === null) { write.forEach(w => w()); at.textContent = ""; return; }
    const g = geometry;
    el(svg, "line", { class: "cursor", x1: g.x(v), x2: g.x(v), y1: g.m.top, y2: g.height - g.m.bottom, stroke: "var(--quiet)", "stroke-dasharray": "2 3" });
    spec.series.forEach((s, i) => {
      if (s.hidden) return write[i]();
      if (s.level) return write[i](format(s.points[0][1]));
      const p = s.points[near(s.points, v)];
      write[i](format(p[1]));
      if (p[1] !== null) el(svg, "circle", { class: "cursor", cx: g.x(p[0]), cy: g.y(p[1]), r: 4.5, fill: colour(s.colour), stroke: "var(--paper)", "stroke-width": 1.5 });
    });
    at.textContent = `${spec.x} ${format(v)}`;
  }

  function follow(event) {
    if (!geometry) return;
    const box = svg.getBoundingClientRect();
    const px = (event.clientX - box.left) / box.width * geometry.width;
    const v = geometry.left + (px - geometry.m.left) / (geometry.width - geometry.m.left - geometry.m.right) * (geometry.right - geometry.left);
    point(xs[near(xs.map(x => [x]), v)]);
  }
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointerleave", () => point(null));
  svg.addEventListener("blur", () => point(null));
  svg.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const i = cursor === null ? (step > 0 ? -1 : xs.length) : near(xs.map(x => [x]), cursor);
    point(xs[Math.min(Math.max(i + step, 0), xs.length - 1)]);
  });
  new ResizeObserver(() => { if (box.clientWidth && (!geometry || Math.abs(box.clientWidth - geometry.width) > 4)) draw(); }).observe(box);
  draw();
}

// mapChart draws images as points in the square from 0 to 1; the nearest one to the pointer is shown.
function mapChart(box, spec) {
  const svg = el(null, "svg", { role: "img", tabindex: "0", viewBox: "0 0 600 600", "aria-label": "map of images" });
  box.appendChild(svg);
  const aside = html(box, "aside");
  const thumb = html(aside, "div", "thumb"), words = html(aside, "div");
  const name = html(words, "div", "quiet", "Point at the map.");
  const entries = spec.classes.map((c, i) => ({ name: c, colour: i, ring: i >= 7 }));
  const many = entries.length > 14;
  if (!many && entries.length) legend(html(words, "div", "legend"), entries, () => draw());
  const rows = Math.ceil(spec.points.length / spec.columns);
  function place(i) {
    const size = thumb.clientWidth || 128;
    thumb.style.backgroundImage = `url(${spec.sheet})`;
    thumb.style.backgroundSize = `${spec.columns * size}px ${rows * size}px`;
    thumb.style.backgroundPosition = `-${i % spec.columns * size}px -${Math.floor(i / spec.columns) * size}px`;
  }
  const at = p => [16 + p[0] * 568, 584 - p[1] * 568];
  function draw() {
    svg.replaceChildren();
    spec.points.forEach(p => {
      const entry = p[2] >= 0 && !many ? entries[p[2]] : null;
      if (entry && entry.hidden) return;
      const [x, y] = at(p), c = entry ? colour(entry.colour) : colour(0);
      el(svg, "circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 4, fill: entry && entry.ring ? "var(--card)" : c, stroke: c, "stroke-width": 1.6, "fill-opacity": 0.85 });
    });
  }
  let current = -1;
  function show(i) {
    current = i;
    svg.querySelectorAll(".cursor").forEach(n => n.remove());
    const p = spec.points[i], [x, y] = at(p);
    el(svg, "circle", { class: "cursor", cx: x, cy: y, r: 9, fill: "none", stroke: "var(--ink)", "stroke-width": 2 });
    name.textContent = (p[2] >= 0 ? spec.classes[p[2]] + ": " : "") + spec.names[i];
    place(i);
  }
  function follow(event) {
    const b = svg.getBoundingClientRect(), px = (event.clientX - b.left) / b.width * 600, py = (event.clientY - b.top) / b.height * 600;
    let best = -1, least = Infinity;
    spec.points.forEach((p, i) => {
      if (p[2] >= 0 && !many && entries[p[2]].hidden) return;
      const [x, y] = at(p), d = (x - px) ** 2 + (y - py) ** 2;
      if (d < least) { least = d; best = i; }
    });
    if (best >= 0) show(best);
  }
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show((current + step + spec.points.length) % spec.points.length);
  });
  draw();
  if (spec.points.length) place(0);
}

document.querySelectorAll("script[type='application/json']").forEach(data => {
  const spec = JSON.parse(data.textContent);
  (spec.points ? mapChart : lineChart)(data.parentElement, spec);
});

// A click on a picture shows it large.
const large = document.querySelector("dialog");
document.querySelectorAll(".tiles img").forEach(img => img.addEventListener("click", () => {
  large.replaceChildren(img.cloneNode());
  large.firstChild.removeAttribute("class");
  if (img.classList.contains("pixels")) large.firstChild.style.imageRendering = "pixelated";
  html(large, "p", "", img.alt);
  large.showModal();
}));
large.addEventListener("click", () => large.close());

// The button goes from the system's colours to the others and back.
const theme = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : system.matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});
