// Lines over time and bars, in SVG, with their values in words for those who do not see them.

import { element, shape } from "/console/dom.js";

const WIDTH = 400;
const HEIGHT = 150;
const LEFT = 46;
const FLOOR = HEIGHT - 18;

// `series`: [{ name, className, values (null = nothing to tell) }], of equal length, the newest last.
export function lines(title, series, written, moments) {
  const top = Math.max(...series.flatMap((one) => one.values.filter((value) => value !== null)), 0) || 1;
  const step = (WIDTH - LEFT - 4) / Math.max(moments - 1, 1);
  const x = (at, length) => WIDTH - 4 - (length - 1 - at) * step;
  const y = (value) => FLOOR - (value / top) * (FLOOR - 12);
  const drawn = series.map((one) => {
    const points = one.values.map((value, at) => (value === null ? null : `${x(at, one.values.length).toFixed(1)},${y(value).toFixed(1)}`));
    return shape("polyline", { class: one.className, points: points.filter(Boolean).join(" ") });
  });
  const said = series.map((one) => `${one.name} ${written(one.values.at(-1) ?? null)}`).join(", ");
  const svg = shape("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${said}` });
  svg.append(
    shape("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: FLOOR, y2: FLOOR }),
    shape("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: 12, y2: 12 }),
    label(LEFT - 4, 16, written(top)),
    label(LEFT - 4, FLOOR + 4, "0"),
    label(WIDTH - 4, HEIGHT - 4, "now"),
    ...drawn,
  );
  const legend = element("p", { class: "legend" }, series.map((one) =>
    element("span", { class: one.className }, `${one.name} `, element("b", {}, written(one.values.at(-1) ?? null)))));
  return element("section", { class: "panel" }, element("h2", {}, title), svg, legend);
}

export function bars(title, names, values, note) {
  const top = Math.max(...values, 1);
  const wide = (WIDTH - 8) / values.length;
  const said = names.map((name, at) => (values[at] ? `${name}: ${values[at]}` : "")).filter(Boolean).join(", ");
  const svg = shape("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${said || "nothing yet"}` });
  values.forEach((value, at) => {
    const high = (value / top) * (FLOOR - 16);
    svg.append(
      shape("rect", { x: 4 + at * wide + 1, y: FLOOR - high, width: Math.max(wide - 2, 1), height: high }),
      label(4 + (at + 0.5) * wide, HEIGHT - 4, names[at], "middle"),
    );
    if (value) svg.append(label(4 + (at + 0.5) * wide, FLOOR - high - 3, value, "middle"));
  });
  svg.append(shape("line", { class: "axis", x1: 0, x2: WIDTH, y1: FLOOR, y2: FLOOR }));
  return element("section", { class: "panel" }, element("h2", {}, title), svg, element("p", { class: "legend" }, note));
}

function label(x, y, text, anchor = "end") {
  return shape("text", { x, y, "text-anchor": anchor }, String(text));
}
