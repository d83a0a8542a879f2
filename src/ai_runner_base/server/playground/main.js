// Ties the page's buttons, keys and gestures to the application.

import { App } from "./app.js";
import { fromHash, fromJson, toHash, toJson } from "./presets.js";
import { CameraSource, ClipSource, FileSource, ScreenSource } from "./sources.js";
import { $, copy } from "./ui.js";

const VIEWS = { 1: "split", 2: "side", 3: "after" };
const WIDE = "(min-width: 1100px)";

function wireSources(app) {
  const make = { clip: () => new ClipSource(), camera: () => new CameraSource(), screen: () => new ScreenSource() };
  for (const radio of document.querySelectorAll("input[name=source]")) {
    radio.addEventListener("change", () => radio.value !== "file" && void app.useSource(make[radio.value]()));
  }
  // The dialog needs a click of the person; a click on "File" when it is chosen already asks for another one.
  $("input[name=source][value=file]").addEventListener("click", () => $("#file").click());
  $("#file").addEventListener("change", () => useFile(app, $("#file").files[0]));
  $("#file").addEventListener("cancel", () => ($(`input[name=source][value=${app.source.kind}]`).checked = true));
}

function wireDrop(app) {
  const hint = (shown) => $("#stage").classList.toggle("dropping", shown);
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    hint(true);
  });
  window.addEventListener("dragleave", (event) => event.relatedTarget || hint(false));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    hint(false);
    useFile(app, event.dataTransfer.files[0]);
  });
}

function useFile(app, file) {
  if (file) void app.useSource(new FileSource(file));
  $("#file").value = "";
}

function setView(app, mode) {
  $(`input[name=view][value=${mode}]`).checked = true;
  if (app.lanes.watched) return;
  localStorage.setItem("view", mode);
  app.view.setMode(mode);
}

function fileName(app) {
  return `${app.lane?.pipeline || "picture"}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}`;
}

function wireControls(app) {
  const actions = {
    sound: () => void app.toggleSound(),
    mirror: () => app.toggleMirror(),
    snapshot: () => app.view.saveSnapshot(fileName(app)),
    record: () => $("#record").setAttribute("aria-pressed", String(app.view.toggleRecording(fileName(app)))),
    full: () => void app.view.toggleFullScreen(),
    log: () => void app.showLog(),
    again: () => app.lanes.again(),
  };
  for (const [id, act] of Object.entries(actions)) $(`#${id}`).addEventListener("click", act);
  for (const radio of document.querySelectorAll("input[name=view]")) {
    radio.addEventListener("change", () => setView(app, radio.value));
  }
  for (const radio of document.querySelectorAll("input[name=way]")) {
    radio.addEventListener("change", () => app.chooseWay(radio.value));
  }
  const keys = { a: actions.sound, m: actions.mirror, s: actions.snapshot, r: actions.record, f: actions.full };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=radio], [type=range]), textarea, select, dialog")) return;
    if (event.key in VIEWS) setView(app, VIEWS[event.key]);
    else keys[event.key.toLowerCase()]?.();
  });
}

function wirePresets(app) {
  const dialog = $("#json-dialog");
  const [box, problem] = [dialog.querySelector("textarea"), dialog.querySelector(".error")];
  $("#reset").onclick = () => app.form.reset();
  $("#copy-link").onclick = () => {
    void copy(new URL(toHash(...app.preset), location.href).href, "The address of this look is copied");
  };
  $("#json").onclick = () => {
    box.value = toJson(...app.preset);
    problem.textContent = "";
    dialog.showModal();
  };
  $("#json-copy").onclick = () => void copy(box.value, "Copied");
  $("#json-apply").onclick = () => {
    try {
      app.applyPreset(fromJson(box.value));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  window.addEventListener("hashchange", () => app.applyPreset(fromHash(location.hash)));
}

function wirePage(app) {
  $("#token").addEventListener("submit", (event) => {
    event.preventDefault();
    app.lanes.useToken($("#token-text").value);
  });
  window.addEventListener("pagehide", () => app.lanes.leave());
  window.addEventListener("pageshow", (event) => event.persisted && app.lanes.again());
  document.addEventListener("visibilitychange", () => document.hidden || app.lanes.comeBack());
}

const app = new App();
window.playground = app; // for the curious, and for tests
wireSources(app);
wireDrop(app);
wireControls(app);
wirePresets(app);
wirePage(app);
setView(app, localStorage.getItem("view") ?? (matchMedia(WIDE).matches ? "side" : "split"));
const watched = new URLSearchParams(location.search).get("watch");
if (watched) app.watch(watched);
else void app.start(fromHash(location.hash));
