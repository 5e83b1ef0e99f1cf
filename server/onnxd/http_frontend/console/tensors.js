// Between text, files and tensors. Nothing here touches the page.

export const isText = (datatype) => datatype === "BYTES";
export const isWhole = (datatype) => /^U?INT/.test(datatype);

// "1, 2 3" or JSON of any depth -> a flat list of elements.
export function parse(text, datatype) {
  const trimmed = text.trim();
  if (isText(datatype)) return trimmed.startsWith("[") ? JSON.parse(trimmed).flat(Infinity).map(String) : text.split("\n").filter((line, at, all) => line || at < all.length - 1);
  const items = trimmed.startsWith("[") ? JSON.parse(trimmed).flat(Infinity) : trimmed.split(/[\s,;]+/).filter(Boolean);
  return items.map((item) => number(item, datatype));
}

function number(item, datatype) {
  if (datatype === "BOOL") {
    if (["true", "1", true, 1].includes(item)) return true;
    if (["false", "0", false, 0].includes(item)) return false;
    throw new Error(`expected true or false, got ${item}`);
  }
  // Whole numbers of 64 bits do not fit JavaScript's: they go on as they were written.
  if (isWhole(datatype) && typeof item === "string" && /^-?\d{16,}$/.test(item)) return { exactly: item };
  const value = Number(item);
  if (item === "" || Number.isNaN(value)) throw new Error(`expected a number, got ${item}`);
  return value;
}

// JSON with the numbers that JavaScript does not have as they were written.
export function write(document) {
  const exact = [];
  const text = JSON.stringify(document, (_, value) => {
    if (value && typeof value === "object" && "exactly" in value) return `@exact:${exact.push(value.exactly) - 1}@`;
    return value;
  });
  return exact.length ? text.replace(/"@exact:(\d+)@"/g, (_, at) => exact[Number(at)]) : text;
}

export function infer(shape, length) {
  const known = shape.filter((size) => size >= 0).reduce((product, size) => product * size, 1);
  const free = shape.indexOf(-1);
  if (free < 0) return shape;
  return shape.map((size, at) => (size >= 0 ? size : at === free && known ? Math.max(Math.round(length / known), 1) : 1));
}

const READERS = {
  f4: (view, at) => view.getFloat32(at, true), f8: (view, at) => view.getFloat64(at, true),
  i1: (view, at) => view.getInt8(at), i2: (view, at) => view.getInt16(at, true), i4: (view, at) => view.getInt32(at, true),
  i8: (view, at) => ({ exactly: view.getBigInt64(at, true).toString() }),
  u1: (view, at) => view.getUint8(at), u2: (view, at) => view.getUint16(at, true), u4: (view, at) => view.getUint32(at, true),
  u8: (view, at) => ({ exactly: view.getBigUint64(at, true).toString() }), b1: (view, at) => view.getUint8(at) !== 0,
};

// A NumPy file (.npy, format 1 to 3) -> { shape, data }. Little-endian numbers in C order.
export function readNpy(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.slice(1, 6)) !== "NUMPY") throw new Error("this is not a .npy file");
  const view = new DataView(buffer);
  const wide = bytes[6] > 1;
  const start = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(bytes.slice(start, start + length));
  const kind = /'descr':\s*'[<|=]?([a-z]\d+)'/.exec(header)?.[1];
  const read = READERS[kind];
  if (!read) throw new Error(`its element type (${kind || header.trim()}) is not one that is read here`);
  if (/'fortran_order':\s*True/.test(header)) throw new Error("it is in Fortran order; save it with numpy.ascontiguousarray");
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)[1].split(",").map((size) => size.trim()).filter(Boolean).map(Number);
  const size = Number(kind.slice(1));
  const elements = shape.reduce((product, one) => product * one, 1);
  return { shape, data: Array.from({ length: elements }, (_, at) => read(view, start + length + at * size)) };
}
