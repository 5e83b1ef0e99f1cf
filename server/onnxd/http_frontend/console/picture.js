// A picture for an input of a picture's shape: dropped, chosen, or drawn.

import { element } from "/console/dom.js";

// Drawn larger than it is sent, or a stroke on a small picture would be a row of squares.
const SHOWN = 224;
const SCALES = [["0 to 1", 0, 1], ["0 to 16", 0, 16], ["0 to 255", 0, 255], ["-1 to 1", -1, 1]];

// What picture an input of this shape (without its batch) takes, if any: { channels, height, width, first }.
export function pictureOf(shape) {
  const sizes = shape.map((size) => (size < 0 ? 224 : size));
  if (sizes.length === 1) {
    const side = Math.sqrt(sizes[0]);
    return sizes[0] >= 64 && Number.isInteger(side) ? { channels: 1, height: side, width: side, first: true } : null;
  }
  if (sizes.length === 2) return sizes[0] >= 8 && sizes[1] >= 8 && shape[0] > 0 && shape[1] > 0 ? { channels: 1, height: sizes[0], width: sizes[1], first: true } : null;
  if (sizes.length !== 3) return null;
  if ([1, 3].includes(shape[0]) && sizes[1] >= 8 && sizes[2] >= 8) return { channels: shape[0], height: sizes[1], width: sizes[2], first: true };
  if ([1, 3].includes(shape[2]) && sizes[0] >= 8 && sizes[1] >= 8) return { channels: shape[2], height: sizes[0], width: sizes[1], first: false };
  return null;
}

export class Picture {
  // `take(data)` is called with the elements whenever the picture changes.
  constructor(name, form, take) {
    this.form = form;
    this.take = take;
    const larger = Math.max(1, Math.ceil(SHOWN / Math.max(form.width, form.height)));
    this.sent = element("canvas", { width: form.width, height: form.height }).getContext("2d", { willReadFrequently: true });
    this.pad = element("canvas", { class: "pad", width: form.width * larger, height: form.height * larger, role: "img", "aria-label": `Picture for ${name}: draw on it, or drop a file` });
    this.pen = this.pad.getContext("2d");
    this.scale = element("select", { onchange: () => this.changed() }, SCALES.map(([text], at) => element("option", { value: at }, text)));
    this.scale.value = form.height * form.width <= 64 ? "1" : "0";
    const file = element("input", { type: "file", accept: "image/*", onchange: () => file.files[0] && this.draw(file.files[0]) });
    this.box = element("div", {
      class: "drop",
      ondragover: (event) => { event.preventDefault(); this.box.classList.add("over"); },
      ondragleave: () => this.box.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); this.box.classList.remove("over"); if (event.dataTransfer.files[0]) this.draw(event.dataTransfer.files[0]); },
    }, this.pad, element("div", {},
      element("p", { class: "hint" }, `Draw here, or drop a picture: it becomes ${form.width} × ${form.height}, ${form.channels === 1 ? "grey" : "RGB"}.`),
      element("label", {}, "Picture ", file),
      element("label", {}, "Values from ", this.scale),
      element("button", { type: "button", onclick: () => this.clear() }, "Clear")));
    for (const kind of ["pointerdown", "pointermove"]) this.pad.addEventListener(kind, (event) => this.stroke(event));
    this.blacken();
  }

  clear() {
    this.blacken();
    this.changed();
  }

  blacken() {
    this.pen.fillStyle = "black";
    this.pen.fillRect(0, 0, this.pad.width, this.pad.height);
  }

  stroke(event) {
    if (!event.buttons) return;
    event.preventDefault();
    const place = this.pad.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * this.pad.width;
    const y = ((event.clientY - place.top) / place.height) * this.pad.height;
    if (event.type === "pointerdown") this.last = [x, y];
    Object.assign(this.pen, { strokeStyle: "white", lineCap: "round", lineWidth: this.pad.width / 10 });
    this.pen.beginPath();
    this.pen.moveTo(...(this.last || [x, y]));
    this.pen.lineTo(x, y);
    this.pen.stroke();
    this.last = [x, y];
    this.changed();
  }

  async draw(file) {
    const bitmap = await createImageBitmap(file);
    this.blacken();
    this.pen.imageSmoothingQuality = "high";
    this.pen.drawImage(bitmap, 0, 0, this.pad.width, this.pad.height);
    this.changed();
  }

  changed() {
    const { channels, width, height, first } = this.form;
    this.sent.imageSmoothingQuality = "high";
    this.sent.drawImage(this.pad, 0, 0, width, height);
    const pixels = this.sent.getImageData(0, 0, width, height).data;
    const [, low, high] = SCALES[Number(this.scale.value)];
    const value = (light) => Number((low + (light / 255) * (high - low)).toFixed(4));
    const area = width * height;
    const data = new Array(area * channels);
    for (let at = 0; at < area; at += 1) {
      const [red, green, blue] = [pixels[4 * at], pixels[4 * at + 1], pixels[4 * at + 2]];
      const colours = channels === 3 ? [red, green, blue] : [0.299 * red + 0.587 * green + 0.114 * blue];
      colours.forEach((light, colour) => {
        data[first ? colour * area + at : at * channels + colour] = value(light);
      });
    }
    this.take(data);
  }
}
