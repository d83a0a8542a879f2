// The list of pipelines: what each is, where it comes from, and whether it is free.

const STATES = {
  READY: "ready",
  LOADING: "loading",
  STARTING: "starting",
  RELOADING: "reloading",
  RESTARTING: "restarting",
  FAILED: "failed",
  STOPPED: "stopped",
};

export async function fetchPipelines() {
  const answer = await fetch(new URL("pipelines", document.baseURI), { cache: "no-store" });
  if (!answer.ok) throw new Error(`the runner answered ${answer.status}`);
  return (await answer.json()).pipelines;
}

export class Picker {
  #button;
  #list;
  #onPick;
  #current = "";

  /** @param {(name: string) => void} onPick */
  constructor(button, list, onPick) {
    this.#button = button;
    this.#list = list;
    this.#onPick = onPick;
    button.addEventListener("click", () => void this.#open());
    list.addEventListener("keydown", (event) => this.#moveByKey(event));
    list.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
  }

  setCurrent(name) {
    this.#current = name;
    this.#button.querySelector(".name").textContent = name || "…";
  }

  async #open() {
    if (this.#list.matches(":popover-open")) {
      this.#list.hidePopover();
      return;
    }
    this.#list.replaceChildren(note("Asking the runner…"));
    this.#list.showPopover();
    try {
      this.#list.replaceChildren(...(await fetchPipelines()).map((pipeline) => this.#option(pipeline)));
      (this.#list.querySelector("[aria-checked=true]") ?? this.#list.firstElementChild)?.focus();
    } catch (error) {
      this.#list.replaceChildren(note(`The list cannot be had: ${error.message}`));
    }
  }

  #option(pipeline) {
    const free = pipeline.workers - pipeline.busy;
    const state = STATES[pipeline.state.toUpperCase()] ?? pipeline.state;
    const option = Object.assign(document.createElement("button"), { type: "button", className: "menu-option" });
    option.setAttribute("role", "menuitemradio");
    option.setAttribute("aria-checked", String(pipeline.name === this.#current));
    option.dataset.state = state;
    const origin = [pipeline.package, pipeline.version].filter(Boolean).join(" ");
    const environment = pipeline.environment.split("/").filter(Boolean).at(-1) ?? "";
    const workers = pipeline.workers === 1 ? (free ? "free" : "in use") : `${free} of ${pipeline.workers} free`;
    for (const [className, text] of [["name", pipeline.name], ["state", state === "ready" ? workers : state], ["origin", `${origin} · ${environment}`]]) {
      option.append(Object.assign(document.createElement("span"), { className, textContent: text }));
    }
    option.title = pipeline.environment;
    option.onclick = () => {
      this.#list.hidePopover();
      this.#button.focus();
      if (pipeline.name !== this.#current) this.#onPick(pipeline.name);
    };
    return option;
  }

  #moveByKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const options = [...this.#list.querySelectorAll("button")];
    const at = options.indexOf(document.activeElement);
    options[(at + step + options.length) % options.length]?.focus();
  }
}

/** A sentence in a list. */
export function note(text) {
  return Object.assign(document.createElement("p"), { className: "note", textContent: text });
}
