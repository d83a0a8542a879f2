// The list of live streams, each with an address at which anybody can watch it.

import { note } from "./picker.js";

async function fetchStreams() {
  const answer = await fetch(new URL("streams", document.baseURI), { cache: "no-store" });
  if (!answer.ok) throw new Error(`the runner answered ${answer.status}`);
  return (await answer.json()).streams;
}

export function watchAddress(stream) {
  const address = new URL("./", document.baseURI);
  address.searchParams.set("watch", stream);
  return address.href;
}

export class Streams {
  #button;
  #list;
  #own;

  /** @param {() => string} own the id of this page's stream */
  constructor(button, list, own) {
    [this.#button, this.#list, this.#own] = [button, list, own];
    button.addEventListener("click", () => void this.#open());
    list.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
  }

  async #open() {
    if (this.#list.matches(":popover-open")) {
      this.#list.hidePopover();
      return;
    }
    this.#list.replaceChildren(note("Asking the runner…"));
    this.#list.showPopover();
    try {
      const links = (await fetchStreams()).map((stream) => this.#link(stream));
      this.#list.replaceChildren(note("Watch a live stream. The address works in any browser that reaches this runner."), ...links);
      if (!links.length) this.#list.replaceChildren(note("No stream is live just now."));
      links[0]?.focus();
    } catch (error) {
      this.#list.replaceChildren(note(`The list cannot be had: ${error.message}`));
    }
  }

  #link(stream) {
    const isOwn = stream.id === this.#own();
    const link = Object.assign(document.createElement("a"), { className: "menu-option", href: watchAddress(stream.id), target: "_blank" });
    const from = { browser: "a page", webrtc: "WHIP", trickle: "trickle" }[stream.source.kind] ?? stream.source.kind;
    const watchers = stream.sink.watchers === 1 ? "1 watches" : `${stream.sink.watchers ?? 0} watch`;
    for (const [className, text] of [["name", stream.model_id], ["state", isOwn ? "this page" : watchers], ["origin", `${stream.id} · from ${from}`]]) {
      link.append(Object.assign(document.createElement("span"), { className, textContent: text }));
    }
    return link;
  }
}
