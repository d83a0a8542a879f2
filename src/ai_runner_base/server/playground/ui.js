// Small things of the page that everybody needs: notes that pass, the line of state, the veil over the picture.

const TOAST_MS = 5000;

/** @returns {HTMLElement} */
export const $ = (selector) => document.querySelector(selector);

export function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Set a text only when it is another one: screen readers repeat what is set. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

let toastTimer = 0;

export function toast(words) {
  const box = $("#toast");
  box.textContent = words;
  if (!box.matches(":popover-open")) box.showPopover();
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.hidePopover(), TOAST_MS);
}

/** @param {{tone: "live" | "busy" | "warn" | "error", words: string}} state */
export function setStatus({ tone, words }) {
  const line = $("#status");
  line.dataset.tone = tone;
  line.title = words;
  setText(line.querySelector(".words"), words);
}

/**
 * Cover the picture with words; without words, uncover it.
 * @param {"" | "token" | "again" | "choose"} action what the person can do
 */
export function setVeil(words, action = "") {
  const veil = $("#veil");
  veil.hidden = words === "";
  veil.dataset.action = action;
  $("#token").hidden = action !== "token";
  $("#again").hidden = action !== "again";
  $("#leave").hidden = action !== "choose";
  if (words) setText(veil.querySelector(".words"), words);
  if (action === "token") $("#token-text").focus();
}

/**
 * Show how pictures travel.
 * @param {{way: "jpeg" | "webrtc", canConnect: boolean, whyNot: string, wanted: boolean}} state
 */
export function setWay({ way, canConnect, whyNot, wanted }) {
  const box = $("#way");
  const [webrtc, jpeg] = ["webrtc", "jpeg"].map((value) => box.querySelector(`[value=${value}]`));
  webrtc.disabled = !canConnect;
  (wanted && canConnect && !whyNot ? webrtc : jpeg).checked = true;
  const trying = way === "jpeg" && wanted && canConnect && !whyNot;
  const words = trying ? "Connecting…" : wanted ? whyNot : "";
  setText(box.querySelector(".why"), capital(words));
  box.title = words ? capital(words) : `Pictures travel by ${way === "webrtc" ? "WebRTC" : "WebSocket, as JPEG"}`;
}

export function setEffect(words, tone = "") {
  setText($("#effect"), words);
  $("#effect").dataset.tone = tone;
}

export function showLog(lines) {
  const box = $("#log-dialog pre");
  const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
  setText(box, lines.length ? lines.join("\n") : "The worker has written nothing.");
  if (atEnd) box.scrollTop = box.scrollHeight;
}

export async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    toast(words);
  } catch {
    toast("This browser does not let the page copy; select the text instead");
  }
}

/** Named delays: a new one takes the place of the one with the same name. */
export class Timers {
  #timers = new Map();

  set(name, delayMs, what) {
    this.cancel(name);
    const run = () => {
      this.#timers.delete(name);
      void what();
    };
    this.#timers.set(name, setTimeout(run, delayMs));
  }

  has(name) {
    return this.#timers.has(name);
  }

  cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
