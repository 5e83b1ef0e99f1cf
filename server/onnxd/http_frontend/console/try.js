// A form made from the model's own metadata, and what the model says to it.

import { get, infer } from "/console/api.js";
import { element, facts, tell } from "/console/dom.js";
import { seconds } from "/console/figures.js";
import { Picture, pictureOf } from "/console/picture.js";
import { SHORT, snippets } from "/console/snippets.js";
import { infer as shapeFor, isText, parse, readNpy, write } from "/console/tensors.js";

const MOST_SHOWN = 64;
const CLASSES = 5;
const LONG = 2000;

export class TryIt {
  static async of(path, name) {
    const [metadata, config] = await Promise.all([get(path), get(`${path}/config`)]);
    return new TryIt(path, name, metadata, config).place;
  }

  constructor(path, name, metadata, config) {
    this.path = path;
    this.name = name;
    this.batches = config.max_batch_size > 0;
    const optional = new Set((config.input || []).filter((input) => input.optional).map((input) => input.name));
    this.inputs = metadata.inputs.map((input) => new Input(input, this.batches, optional.has(input.name)));
    this.labelled = new Set((config.output || []).filter((output) => output.label_filename).map((output) => output.name));
    this.outputs = metadata.outputs;
    this.answer = element("div", { "aria-live": "polite" }, element("p", { class: "hint" }, "No answer yet."));
    this.calls = element("div");
    this.send = element("button", { class: "primary" }, "Run");
    const form = element("form", { onsubmit: (event) => { event.preventDefault(); this.run(); } },
      this.inputs.map((input) => input.place), element("p", { class: "actions" }, this.send));
    this.place = element("div", { class: "two" }, form, element("div", {}, element("h2", {}, "Answer"), this.answer, this.calls));
  }

  request() {
    const inputs = this.inputs.map((input) => input.tensor()).filter(Boolean);
    const outputs = this.outputs.map(({ name }) => (this.labelled.has(name) ? { name, parameters: { classification: CLASSES } } : { name }));
    return this.labelled.size ? { inputs, outputs } : { inputs };
  }

  async run() {
    let document;
    try {
      document = this.request();
    } catch (error) {
      tell(error.message);
      return;
    }
    this.send.disabled = true;
    try {
      const body = write(document);
      const { answer, took, headers } = await infer(`${this.path}/infer`, body);
      this.show(answer, took, headers);
      this.explain(body, document);
    } catch (error) {
      this.answer.replaceChildren(element("p", { class: "lost" }, error.message));
    } finally {
      this.send.disabled = false;
    }
  }

  show(answer, took, headers) {
    const microseconds = (name) => (headers.get(name) ? seconds(Number(headers.get(name)) / 1e6) : null);
    const times = [["version", answer.model_version], ["here", seconds(took)],
      ["queue", microseconds("x-onnxd-queue-us")], ["compute", microseconds("x-onnxd-compute-us")], ["batch", headers.get("x-onnxd-batch")]];
    this.answer.replaceChildren(facts(times.filter(([, value]) => value)), ...answer.outputs.map((output) => this.output(output)));
  }

  output(output) {
    const title = element("h2", {}, `${output.name} `, element("small", {}, `${output.datatype} [${output.shape.join(", ")}]`));
    const data = output.data || [];
    if (this.labelled.has(output.name)) {
      const classes = data.map((text) => text.split(":"));
      const scores = classes.map(([score]) => Number(score));
      const most = Math.max(...scores, scores.every((score) => score >= 0 && score <= 1) ? 1 : 1e-9);
      return element("section", {}, title, element("div", { class: "bars" }, classes.flatMap(([score, index, ...label]) => [
        element("span", {}, label.join(":") || index),
        element("meter", { min: Math.min(0, ...scores), max: most, value: score, "aria-label": label.join(":") || index }),
        element("span", {}, Number(score).toPrecision(4)),
      ])));
    }
    const shown = data.slice(0, MOST_SHOWN).map((value) => (typeof value === "number" ? Number(value.toPrecision(7)) : value));
    const text = JSON.stringify(shown) + (data.length > MOST_SHOWN ? ` and ${data.length - MOST_SHOWN} more` : "");
    return element("section", {}, title, element("pre", { tabindex: "0", "aria-label": output.name }, text));
  }

  explain(body, document) {
    const called = snippets(this.name, body, { inputs: document.inputs });
    const file = body.length <= SHORT ? null : element("p", {}, element("a", {
      download: "request.json", href: URL.createObjectURL(new Blob([body], { type: "application/json" })),
    }, "Save the request as request.json"));
    this.calls.replaceChildren(element("h2", {}, "The same call"), ...(file ? [file] : []), ...called.map(([name, text]) =>
      element("details", {}, element("summary", {}, name), element("pre", { tabindex: "0", "aria-label": name }, text),
        element("button", { type: "button", onclick: () => navigator.clipboard.writeText(text).then(() => tell(`${name}: copied`, true)) }, `Copy ${name}`))));
  }
}

// One input: its shape, and its data as text, as a file, or as a picture.
class Input {
  constructor({ name, datatype, shape }, batches, optional) {
    this.name = name;
    this.datatype = datatype;
    this.shape = shape;
    this.optional = optional;
    this.data = null;
    this.sizes = shape.map((size, at) => element("input", {
      type: "number", min: "0", value: size < 0 ? (at === 0 && batches ? 1 : "") : size, readonly: size >= 0, "aria-label": `${name}: size of dimension ${at}`, placeholder: "any",
    }));
    const guess = isText(datatype) ? "" : shape.every((size, at) => size >= 0 || (at === 0 && batches)) ? this.zeros(batches) : "0";
    this.text = element("textarea", { rows: isText(datatype) ? 3 : 4, spellcheck: "false", "aria-label": `${name}: values`, oninput: () => { this.data = null; } });
    this.text.value = guess;
    const file = element("input", { type: "file", accept: ".npy", onchange: () => file.files[0] && this.load(file.files[0]) });
    const picture = isText(datatype) ? null : pictureOf(batches ? shape.slice(1) : shape[0] === 1 || shape[0] === -1 ? shape.slice(1) : shape);
    this.place = element("fieldset", {}, element("legend", {}, `${name} · ${datatype}`),
      this.sizes.length ? element("p", { class: "hint" }, "Shape ", this.sizes.map((box) => element("span", { class: "inline" }, box))) : null,
      picture ? new Picture(name, picture, (data) => this.take(data)).box : null,
      element("label", {}, isText(datatype) ? "Text, an element a line" : "Numbers, or JSON", this.text),
      isText(datatype) ? null : element("label", {}, "or a NumPy file ", file));
  }

  zeros(batches) {
    const count = this.shape.reduce((product, size, at) => product * (size < 0 && at === 0 && batches ? 1 : size), 1);
    const zero = this.datatype === "BOOL" ? "false" : "0";
    return count <= LONG ? new Array(count).fill(zero).join(", ") : "";
  }

  take(data, shape = null) {
    this.data = data;
    this.text.value = data.length <= LONG ? data.map((value) => value?.exactly ?? value).join(", ") : `(${data.length} values)`;
    if (shape) shape.forEach((size, at) => { if (this.sizes[at]) this.sizes[at].value = size; });
  }

  async load(file) {
    try {
      const { shape, data } = readNpy(await file.arrayBuffer());
      const missing = this.shape.length - shape.length;
      this.take(data, missing > 0 ? [...new Array(missing).fill(1), ...shape] : shape);
    } catch (error) {
      tell(`${file.name}: ${error.message}`);
    }
  }

  tensor() {
    if (this.optional && !this.text.value.trim()) return null;
    let data;
    try {
      data = this.data || parse(this.text.value, this.datatype);
    } catch (error) {
      throw new Error(`${this.name}: ${error.message}`, { cause: error });
    }
    const stated = this.sizes.map((box) => (box.value === "" ? -1 : Number(box.value)));
    const shape = shapeFor(stated, data.length);
    const wanted = shape.reduce((product, size) => product * size, 1);
    if (wanted !== data.length) throw new Error(`${this.name}: [${shape.join(", ")}] has ${wanted} elements, and there are ${data.length}`);
    return { name: this.name, datatype: this.datatype, shape, data };
  }
}
