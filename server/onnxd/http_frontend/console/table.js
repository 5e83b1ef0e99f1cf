// Every model of the repository, a row for each version.

import { post } from "/console/api.js";
import { element, tell } from "/console/dom.js";
import { bytes, count, perSecond, rate, sum } from "/console/figures.js";

const COLUMNS = [
  ["Model"], ["Version"], ["State"], ["Runs on"], ["Answered", "number"], ["Failed", "number"],
  ["Requests", "number"], ["Waiting", "number"], ["Memory", "number"], ["Why"],
];

export class TableView {
  constructor(place) {
    this.body = element("tbody");
    this.rows = new Map();
    const header = element("tr", {}, COLUMNS.map(([name, className]) => element("th", { scope: "col", class: className }, name)));
    place.replaceChildren(
      element("h1", {}, "Models"),
      this.empty = element("p", { class: "hint" }, "Waiting for the server."),
      element("div", { class: "scroll" }, element("table", { "aria-label": "Models" }, element("thead", {}, header), this.body)),
    );
  }

  show({ moments }) {
    const now = moments.at(-1);
    const before = moments.at(-2);
    const old = new Map((before?.models || []).map((model) => [key(model), model]));
    this.empty.textContent = now.models.length ? "" : "The repository is empty: copy a directory with an ONNX file into it.";
    const wanted = new Set(now.models.map(key));
    for (const [name, row] of this.rows) {
      if (!wanted.has(name)) {
        row.remove();
        this.rows.delete(name);
      }
    }
    for (const model of now.models) {
      const name = key(model);
      let row = this.rows.get(name);
      if (!row) {
        row = element("tr", { "data-model": model.name, "data-version": model.version });
        row.append(element("th", { scope: "row" }, element("a", { href: `#/models/${encodeURIComponent(model.name)}` }, model.name)));
        row.append(...COLUMNS.slice(1).map(([, className]) => element("td", { class: className })));
        row.lastChild.className = "reason";
        this.rows.set(name, row);
      }
      const cells = [
        model.version || "–",
        model.state || "not loaded",
        (model.providers || []).map((provider) => provider.replace("ExecutionProvider", "")).join(", ") || "–",
        count(model.answered),
        model.failed ? count(sum(model.failed)) : "–",
        model.answered === undefined ? "–" : perSecond(rate(old.get(name), model, "answered", before?.time_s, now.time_s)),
        count(model.waiting),
        bytes(model.memory?.resident_bytes),
        model.reason || "",
      ];
      cells.forEach((text, at) => write(row.children[at + 1], text));
      row.children[2].className = model.state || "";
      this.body.append(row);
    }
  }
}

const key = (model) => `${model.name}/${model.version || ""}`;

function write(cell, text) {
  if (cell.textContent !== String(text)) cell.textContent = text;
}

export async function control(model, verb, document, said) {
  await post(`/v2/repository/models/${encodeURIComponent(model)}/${verb}`, document);
  tell(said, true);
}
