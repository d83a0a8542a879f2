// The list of pipelines: what each is, where it comes from, and whether it is free.

import { Menu, fetchList, menuOption } from "./menu.js";

export class Picker {
  #button;
  #menu;
  #onPick;
  #current = "";

  /** @param {(name: string) => void} onPick */
  constructor(button, list, onPick) {
    this.#button = button;
    this.#onPick = onPick;
    this.#menu = new Menu(button, list, async () => (await fetchList("pipelines")).map((pipeline) => this.#option(pipeline)));
  }

  /** @param {string} name @param {string} otherwise what is shown while there is no name */
  setCurrent(name, otherwise = "…") {
    this.#current = name;
    this.#button.querySelector(".name").textContent = name || otherwise;
  }

  #option(pipeline) {
    const state = pipeline.state.toLowerCase().replace("_", " ");
    const free = pipeline.workers - pipeline.busy;
    const workers = pipeline.workers === 1 ? (free ? "free" : "in use") : `${free} of ${pipeline.workers} free`;
    const environment = pipeline.environment.split("/").filter(Boolean).at(-1);
    const origin = [[pipeline.package, pipeline.version].filter(Boolean).join(" "), environment].filter(Boolean).join(" · ");
    const words = { name: pipeline.name, state: state === "ready" ? workers : state, origin };
    const option = menuOption("button", { type: "button", title: pipeline.environment, onclick: () => this.#pick(pipeline.name) }, words);
    option.setAttribute("role", "menuitemradio");
    option.setAttribute("aria-checked", String(pipeline.name === this.#current));
    option.dataset.state = state;
    return option;
  }

  #pick(name) {
    this.#menu.close();
    if (name !== this.#current) this.#onPick(name);
  }
}
