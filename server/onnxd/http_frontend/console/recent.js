// The last slow requests of a model, stage by stage with their batch, and its last errors.

import { get } from "/console/api.js";
import { element, shape } from "/console/dom.js";
import { seconds } from "/console/figures.js";

const STAGES = ["decode", "queue", "execute", "encode"];

export async function recent(path) {
  const kept = await get(`${path}/recent`);
  const from = kept.slow_from_us === null ? "nothing is slow yet: it takes some requests to know" : `slow is what takes over ${micro(kept.slow_from_us)}`;
  return element("div", {},
    element("section", { class: "panel" }, element("h2", {}, "Slow requests"), element("p", { class: "hint" }, from), legend(), waterfall(kept.slow)),
    element("p"),
    element("section", { class: "panel" }, element("h2", {}, "Errors"), errors(kept.errors)));
}

const micro = (value) => (value === null || value === undefined ? "–" : seconds(value / 1e6));
const when = (ended) => new Date(ended * 1000).toLocaleTimeString();

function legend() {
  return element("p", { class: "hint" }, "From left to right: ", STAGES.join(", "), ".");
}

function waterfall(requests) {
  if (!requests.length) return element("p", { class: "hint" }, "None.");
  const longest = Math.max(...requests.map((request) => request.total_us), 1);
  return element("div", { class: "waterfall" }, requests.flatMap((request) => {
    const said = STAGES.filter((stage) => request.stages[stage]).map((stage) => {
      const [from, to] = request.stages[stage];
      return `${stage} ${micro((to ?? request.total_us) - from)}`;
    }).join(", ");
    const svg = shape("svg", { viewBox: "0 0 1000 16", preserveAspectRatio: "none", role: "img", "aria-label": said });
    STAGES.forEach((stage, at) => {
      const span = request.stages[stage];
      if (!span) return;
      const [from, to] = [span[0], span[1] ?? request.total_us];
      const drawn = shape("rect", { class: `w${at}`, x: (from / longest) * 1000, y: 2, width: Math.max(((to - from) / longest) * 1000, 1), height: 12 });
      drawn.append(shape("title", {}, `${stage}: ${micro(to - from)}`));
      svg.append(drawn);
    });
    return [
      element("span", {}, `${when(request.ended)} ${request.id || request.trace_id.slice(0, 8)}`, element("br"), element("small", {}, batches(request.batches))),
      svg,
      element("span", { class: "number" }, micro(request.total_us)),
    ];
  }));
}

function batches(some) {
  if (!some.length) return "it never ran";
  return some.map((batch) => `${batch.requests} in a batch of ${batch.rows}, cut: ${batch.cut}${batch.again ? ", again" : ""}`).join("; ");
}

function errors(requests) {
  if (!requests.length) return element("p", { class: "hint" }, "None.");
  return element("div", { class: "scroll" }, element("table", { "aria-label": "The last errors" },
    element("thead", {}, element("tr", {}, ["When", "Status", "After", "Error"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, requests.map((request) => element("tr", {},
      element("td", {}, when(request.ended)), element("td", {}, String(request.status)),
      element("td", { class: "number" }, micro(request.total_us)), element("td", { class: "reason" }, request.error || ""))))));
}
