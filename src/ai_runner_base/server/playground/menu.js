// A list that drops from a button and is asked for anew each time that it opens.

/**
 * @param {"pipelines" | "streams"} name
 * @returns {Promise<object[]>} what the runner has of it
 */
export async function fetchList(name) {
  const answer = await fetch(new URL(name, document.baseURI), { cache: "no-store" });
  if (!answer.ok) throw new Error(`the runner answered ${answer.status}`);
  return (await answer.json())[name];
}

export class Menu {
  #button;
  #list;
  #entries;

  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} list a popover
   * @param {() => Promise<Node[]>} entries
   */
  constructor(button, list, entries) {
    [this.#button, this.#list, this.#entries] = [button, list, entries];
    button.addEventListener("click", () => void this.#toggle());
    list.addEventListener("keydown", (event) => this.#moveByKey(event));
    list.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
  }

  close() {
    this.#list.hidePopover();
    this.#button.focus();
  }

  async #toggle() {
    if (this.#list.matches(":popover-open")) {
      this.#list.hidePopover();
      return;
    }
    this.#list.replaceChildren(note("Asking the runner…"));
    this.#list.showPopover();
    try {
      this.#list.replaceChildren(...(await this.#entries()));
    } catch (error) {
      this.#list.replaceChildren(note(`The list cannot be had: ${error.message}`));
    }
    (this.#list.querySelector("[aria-checked=true]") ?? this.#options[0])?.focus();
  }

  get #options() {
    return [...this.#list.querySelectorAll(".menu-option")];
  }

  #moveByKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const options = this.#options;
    const at = options.indexOf(document.activeElement);
    options[(at + step + options.length) % options.length]?.focus();
  }
}

/**
 * @param {"a" | "button"} tag
 * @param {object} properties
 * @param {{name: string, state: string, origin: string}} words
 */
export function menuOption(tag, properties, words) {
  const option = Object.assign(document.createElement(tag), { className: "menu-option" }, properties);
  for (const [className, textContent] of Object.entries(words)) {
    option.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  return option;
}

/** A sentence in a list. */
export function note(text) {
  return Object.assign(document.createElement("p"), { className: "note", textContent: text });
}
