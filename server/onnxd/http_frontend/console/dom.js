// Elements from calls: text is text, never markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function facts(pairs, className = "facts") {
  const list = element("dl", { class: className });
  list.append(...pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
  return list;
}

export function tell(text, good = false) {
  const box = element("p", good ? { class: "good" } : {}, text);
  document.getElementById("notice").append(box);
  setTimeout(() => box.remove(), good ? 4000 : 12000);
}
