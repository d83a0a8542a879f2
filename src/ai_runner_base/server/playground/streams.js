// The list of live streams, each with an address at which anybody can watch it.

import { Menu, fetchList, menuOption, note } from "./menu.js";

const ORIGINS = { browser: "a page", webrtc: "WHIP", trickle: "trickle" };

export function watchAddress(stream) {
  const address = new URL("./", document.baseURI);
  address.searchParams.set("watch", stream);
  return address.href;
}

/** @param {() => string} own the id of this page's stream */
export function makeStreamsMenu(button, list, own) {
  return new Menu(button, list, async () => {
    const links = (await fetchList("streams")).map((stream) => linkTo(stream, stream.id === own()));
    if (!links.length) return [note("No stream is live just now.")];
    return [note("Watch a live stream. The address works in any browser that reaches this runner."), ...links];
  });
}

function linkTo({ id, model_id, source, sink }, isOwn) {
  const watchers = sink.watchers === 1 ? "1 watches" : `${sink.watchers ?? 0} watch`;
  const origin = `${id} · from ${ORIGINS[source.kind] ?? source.kind}`;
  return menuOption("a", { href: watchAddress(id), target: "_blank" }, { name: model_id, state: isOwn ? "this page" : watchers, origin });
}
