// The page: one stream of moments, and what is shown of them. `#/` is the table, `#/models/NAME[/TAB]` a model.

import { credential, Refused, useCredential, watch } from "/console/api.js";
import { facts, tell } from "/console/dom.js";
import { bytes, count, perSecond, sum } from "/console/figures.js";
import { ModelView } from "/console/model.js";
import { TableView } from "/console/table.js";

export const KEPT = 120;

// What the views are given: the newest moments, and how histograms are divided.
const seen = { bounds: { seconds: [], rows: [] }, moments: [] };
let view = null;

function route() {
  const [, kind, name, tab] = location.hash.split("/");
  const main = document.getElementById("main");
  const wanted = kind === "models" && name ? decodeURIComponent(name) : "";
  if (wanted && view instanceof ModelView && view.name === wanted) {
    view.open(tab || "live");
  } else {
    view = wanted ? new ModelView(main, wanted, tab || "live") : new TableView(main);
  }
  document.title = wanted ? `${wanted} · onnxd` : "onnxd";
  if (seen.moments.length) view.show(seen);
}

function on(kind, document) {
  if (kind === "bounds") {
    seen.bounds = document;
    return;
  }
  seen.moments.push(document);
  if (seen.moments.length > KEPT) seen.moments.shift();
  state(document.ready ? "ready" : "not ready", document.ready ? "ready" : "wait");
  totals(document);
  view.show(seen);
}

function totals(now) {
  const before = seen.moments.at(-2);
  const answered = (moment) => moment.models.reduce((total, model) => total + (model.answered || 0), 0);
  const grown = before ? Math.max(answered(now) - answered(before), 0) / (now.time_s - before.time_s) : 0;
  const shown = facts([
    ["requests", perSecond(grown)],
    ["in flight", count(now.in_flight)],
    ["refused", count(sum(now.refused))],
    ["memory", bytes(now.process?.resident_bytes)],
  ], "totals");
  document.getElementById("totals").replaceChildren(...shown.children);
}

function state(text, className) {
  const box = document.getElementById("state");
  if (box.textContent !== text) box.textContent = text;
  box.className = `state ${className}`;
}

let stream = new AbortController();

async function follow() {
  for (;;) {
    stream = new AbortController();
    let pause = 1000;
    try {
      await watch("/v2/events", on, stream.signal);
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
        state("a credential is needed", "wait");
        if (!credential()) ask();
        await new Promise((resolve) => document.getElementById("ask").addEventListener("close", resolve, { once: true }));
        pause = 0;
      }
    }
    if (pause) state("not connected", "lost");
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

const ask = () => document.getElementById("ask").showModal();

document.getElementById("credential").addEventListener("click", ask);
document.getElementById("ask").addEventListener("close", (event) => {
  const field = document.getElementById("ask-key");
  const answer = event.target.returnValue;
  if (answer === "use" || answer === "forget") useCredential(answer === "use" ? field.value.trim() : "");
  field.value = "";
  stream.abort();
});
window.addEventListener("hashchange", () => {
  route();
  document.getElementById("main").focus({ preventScroll: true });
  if (!(view instanceof ModelView)) window.scrollTo(0, 0);
});
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Refused) {
    tell(event.reason.message);
    event.preventDefault();
  }
});
route();
follow();
