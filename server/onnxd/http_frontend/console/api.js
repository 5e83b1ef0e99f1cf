// Everything that is asked of the server. The credential is in this tab's session storage, or nowhere.

const KEY = "onnxd-credential";

export const credential = () => sessionStorage.getItem(KEY) || "";

export function useCredential(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

const head = (more = {}) => (credential() ? { ...more, Authorization: `Bearer ${credential()}` } : more);

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function checked(reply) {
  if (reply.ok) return reply;
  let message = `${reply.status} ${reply.statusText}`;
  try {
    message = (await reply.json()).error || message;
  } catch {
    // Not one of onnxd's refusals: the status says all there is.
  }
  throw new Refused(reply.status, message);
}

export async function get(path) {
  return (await checked(await fetch(path, { headers: head() }))).json();
}

export async function post(path, document = {}) {
  const body = JSON.stringify(document);
  return (await checked(await fetch(path, { method: "POST", headers: head({ "Content-Type": "application/json" }), body }))).json();
}

// An answer with its headers and how long it took, as seen from here.
export async function infer(path, body) {
  const headers = head({ "Content-Type": "application/json", "x-onnxd-timing": "1" });
  const began = performance.now();
  const reply = await checked(await fetch(path, { method: "POST", headers, body }));
  const answer = await reply.json();
  return { answer, took: (performance.now() - began) / 1e3, headers: reply.headers };
}

// Calls `on(kind, document)` for each event until the stream ends, which it does by throwing or returning.
// EventSource would do, if it could send a credential.
export async function watch(path, on, signal) {
  const reply = await checked(await fetch(path, { headers: head(), signal }));
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const lines = event.split("\n");
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      on(field("event"), JSON.parse(field("data")));
    }
  }
}
