// One model: live charts, a form to try it, its config, its batching, what went wrong or slowly.

import { get } from "/console/api.js";
import { bars, lines } from "/console/chart.js";
import { element, facts } from "/console/dom.js";
import { between, bytes, count, perSecond, quantile, rate, seconds, sum } from "/console/figures.js";
import { recent } from "/console/recent.js";
import { control } from "/console/table.js";
import { TryIt } from "/console/try.js";

const TABS = [["live", "Live"], ["try", "Try it"], ["config", "Config"], ["batching", "Batching"], ["recent", "Recent"]];
const WINDOW = 10;

export class ModelView {
  constructor(place, name, tab) {
    this.name = name;
    this.path = `/v2/models/${encodeURIComponent(name)}`;
    this.facts = element("div");
    this.actions = element("p", { class: "actions" }, this.button("Load", "load", {}, "loaded"),
      this.button("Unload", "unload", {}, "unloaded"),
      this.button("Roll back", "load", { parameters: { onnxd_rollback: true } }, "rolled back"));
    this.tabs = element("nav", { class: "tabs", "aria-label": "Views of the model" }, TABS.map(([id, text]) =>
      element("a", { href: `#/models/${encodeURIComponent(name)}/${id}`, "data-tab": id }, text)));
    this.body = element("div");
    place.replaceChildren(element("h1", {}, name), this.facts, this.actions, this.tabs, this.body);
    this.open(tab);
  }

  button(text, verb, document, done) {
    return element("button", {
      type: "button",
      onclick: async (event) => {
        event.target.disabled = true;
        try {
          await control(this.name, verb, document, `${this.name} is ${done}`);
        } finally {
          event.target.disabled = false;
        }
      },
    }, text);
  }

  open(tab) {
    this.tab = TABS.some(([id]) => id === tab) ? tab : "live";
    for (const link of this.tabs.children) {
      if (link.dataset.tab === this.tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.body.replaceChildren();
    if (this.tab !== "live") this.fill(this.tab);
  }

  // What is asked for once; the charts follow the moments instead.
  async fill(tab) {
    const made = tab === "try" ? await TryIt.of(this.path, this.name)
      : tab === "config" ? await config(this.path)
      : tab === "batching" ? await batching(this.path)
      : await recent(this.path);
    if (this.tab === tab) this.body.replaceChildren(made);
  }

  show({ moments, bounds }) {
    const versions = moments.at(-1).models.filter((model) => model.name === this.name);
    const serving = versions.filter((model) => model.answered !== undefined).at(-1);
    const shown = serving || versions.at(-1);
    this.facts.replaceChildren(shown ? about(shown) : element("p", { class: "hint" }, "There is no such model."));
    if (this.tab !== "live") return;
    if (!serving) {
      this.body.replaceChildren(element("p", { class: "hint" }, "It does not serve, so there is nothing to draw."));
      return;
    }
    const history = moments.map((moment) => ({
      time: moment.time_s,
      model: moment.models.find((model) => model.name === this.name && model.version === serving.version && model.answered !== undefined),
    }));
    this.body.replaceChildren(charts(history, serving, bounds, moments.length));
  }
}

function about(model) {
  return facts([
    ["version", model.version || "–"],
    ["state", element("span", { class: model.state || "" }, model.state || "not loaded")],
    ["runs on", (model.providers || ["–"]).join(", ")],
    ["threads", count(model.threads)],
    ["batches", model.max_batch_size === undefined ? "–" : model.max_batch_size ? `up to ${model.max_batch_size} rows` : "no"],
    ["memory", bytes(model.memory?.resident_bytes)],
    ["content", model.content || "–"],
    ["answered", count(model.answered)],
    ["failed", model.failed ? count(sum(model.failed)) : "–"],
    ...(model.reason ? [["why", model.reason]] : []),
  ]);
}

function charts(history, serving, bounds, moments) {
  const over = (at, span, key) => between(history[Math.max(at - span, 0)].model?.[key], history[at].model[key]);
  const each = (make) => history.map((moment, at) => (moment.model && at > 0 ? make(at) : null));
  const at = (share) => each((index) => quantile(share, bounds.seconds, over(index, WINDOW, "request_times")));
  const rates = each((index) => rate(history[index - 1].model, history[index].model, "answered", history[index - 1].time, history[index].time));
  const depth = history.map(({ model }) => (model ? model.waiting : null));
  const newest = history.length - 1;
  const rows = serving.batch_rows.counts;
  return element("div", { class: "panels" },
    lines("Requests", [{ name: "answered", className: "a", values: rates }], (value) => (value === null ? "–" : perSecond(value)), moments),
    lines("Request time, of the last seconds", [
      { name: "p50", className: "a", values: at(0.5) },
      { name: "p95", className: "c", values: at(0.95) },
      { name: "p99", className: "b", values: at(0.99) },
    ], seconds, moments),
    lines("Waiting in the queue", [{ name: "requests", className: "a", values: depth }], count, moments),
    bars("Batches by rows", [...bounds.rows, "more"], rows,
      `${count(serving.executions)} runs, ${serving.executions ? (serving.rows / serving.executions).toFixed(2) : "–"} rows on average`),
    bars("Batches of the last seconds by rows", [...bounds.rows, "more"], over(newest, WINDOW, "batch_rows"), `of the last ${WINDOW} s`),
    element("section", { class: "panel" }, element("h2", {}, "Why batches were cut"),
      facts(Object.entries(serving.cuts).map(([why, times]) => [why, count(times)]))),
  );
}

async function config(path) {
  const [metadata, explained] = await Promise.all([get(path), get(`${path}/explain`)]);
  const tensors = (kind) => metadata[kind].map((tensor) => element("tr", {},
    element("th", { scope: "row" }, tensor.name), element("td", {}, kind.slice(0, -1)),
    element("td", {}, tensor.datatype), element("td", {}, `[${tensor.shape.join(", ")}]`)));
  const rows = explained.config.map(({ key, value, source, file, line }) => element("tr", {},
    element("th", { scope: "row" }, key), element("td", {}, value === null ? "none" : typeof value === "string" ? value : JSON.stringify(value)),
    element("td", {}, file ? `${file}:${line}` : source)));
  return element("div", {},
    table("Inputs and outputs", ["Name", "", "Datatype", "Shape"], [...tensors("inputs"), ...tensors("outputs")]),
    element("p"),
    table("Config in force", ["Key", "Value", "From"], rows));
}

function table(caption, names, rows) {
  return element("div", { class: "scroll" }, element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, names.map((name) => (name ? element("th", { scope: "col" }, name) : element("td"))))),
    element("tbody", {}, rows)));
}

async function batching(path) {
  return element("pre", { tabindex: "0", "aria-label": "How it is batched" }, JSON.stringify(await get(`${path}/batching`), null, 2));
}
