// The page: joins source, lanes, view, form and figures. None of them knows the others.

import { ParamsForm } from "./form.js";
import { Lanes } from "./lanes.js";
import { fetchList } from "./menu.js";
import { Numbers } from "./numbers.js";
import { Picker } from "./picker.js";
import { toHash } from "./presets.js";
import { SIZE_NAMES, changesOf } from "./schema.js";
import { CameraSource, ClipSource, explain } from "./sources.js";
import { describe } from "./status.js";
import { makeStreamsMenu } from "./streams.js";
import { $, Timers, capital, setEffect, setStatus, setVeil, setWay, showLog, toast } from "./ui.js";
import { View } from "./view.js";

const TICK_MS = 500;
const SIZE_PAUSE_MS = 600;
const HASH_PAUSE_MS = 300;

export class App {
  source = null;
  #timers = new Timers();
  #shown = null;
  #described = null;
  #readyMs = performance.now();
  #frameMs = 0;
  /** Whether sound is wanted; it goes and comes by WebRTC only. */
  #soundWanted = false;

  constructor() {
    this.view = new View($("#stage"), (picture) => this.#drawn(picture));
    this.form = new ParamsForm($("#form"), (values) => this.#paramsChanged(values));
    this.numbers = new Numbers($("#numbers"));
    this.picker = new Picker($("#pipeline"), $("#pipelines"), (name) => this.lanes.switchTo(name));
    makeStreamsMenu($("#watch"), $("#streams"), () => this.lane?.streamId ?? "");
    this.lanes = new Lanes({
      changed: () => this.#laneChanged(),
      picture: (picture) => this.view.show(picture),
      params: (answer) => this.#paramsAnswered(answer),
      effective: (effect) => this.#paramsEffective(effect),
      log: showLog,
      way: (lane) => this.#wayChanged(lane),
      notice: toast,
      blocked: (words, action) => this.#blocked(words, action),
    });
    setInterval(() => this.tick(), TICK_MS);
  }

  /** The lane that is shown. */
  get lane() {
    return this.lanes.current;
  }

  /** @param {{pipeline: string, params: object}} wanted */
  async start(wanted) {
    await this.useSource(await firstSource());
    this.lanes.open(wanted.pipeline, wanted.params);
  }

  /** Only look at another one's stream. */
  watch(stream) {
    document.body.dataset.mode = "watch";
    document.title = "Watching · AI Runner";
    this.view.setMode("after");
    this.lanes.watch(stream);
  }

  // --- the way ------------------------------------------------------------------------------------------------------

  chooseWay(way) {
    this.lanes.chooseWay(way);
    if (this.lane) this.#wayChanged(this.lane);
  }

  #wayChanged({ way, canConnect, whyNot }) {
    setWay({ way, canConnect, whyNot, wanted: this.lanes.wantsWebrtc });
    this.#showSound();
  }

  // --- sound --------------------------------------------------------------------------------------------------------

  /** Let what is heard at the source go through, in step with the pictures. Off until asked for. */
  async toggleSound() {
    if ($("#sound").disabled) return;
    this.#soundWanted = !this.#soundWanted;
    if (this.lanes.watched) this.lane?.listen(this.#soundWanted);
    else await this.#connectSound();
    this.#showSound();
  }

  async #connectSound() {
    if (!this.#soundWanted || !this.source.hasSound) {
      this.lanes.setSound(null);
      this.source.silence?.();
      return;
    }
    try {
      this.lanes.setSound((await this.source.sound()) ?? null);
    } catch (error) {
      this.#soundWanted = false;
      toast(`${explain(error, "microphone")}. The picture goes on without sound.`);
    }
  }

  #showSound() {
    const button = $("#sound");
    const byWebrtc = this.lane?.way === "webrtc";
    const hasSound = Boolean(this.lanes.watched || this.source?.hasSound);
    button.disabled = !byWebrtc || !hasSound;
    button.setAttribute("aria-pressed", String(this.#soundWanted && !button.disabled));
    const label = this.source?.label ?? "This source";
    if (!byWebrtc) button.title = "Sound needs WebRTC";
    else if (!hasSound) button.title = `${capital(label)} has no sound`;
    else button.title = this.#soundWanted ? "Silence (A)" : "Let sound through, too (A)";
  }

  // --- source -------------------------------------------------------------------------------------------------------

  async useSource(source) {
    try {
      await source.start(() => this.#frame(source));
    } catch (error) {
      source.stop();
      toast(`${explain(error, source.kind)}. ${this.source ? "The picture stays as it was" : "Here is the built-in clip"}.`);
      if (!this.source) await this.useSource(new ClipSource());
      this.#showSource();
      return;
    }
    this.source?.stop();
    this.source = source;
    await this.#connectSound();
    source.onEnd = () => this.source === source && void this.useSource(new ClipSource());
    localStorage.setItem("source", source.kind);
    this.#showSource();
  }

  #showSource() {
    $(`input[name=source][value=${this.source.kind}]`).checked = true;
    $("#mirror").disabled = this.source.kind === "clip";
    $("#mirror").setAttribute("aria-pressed", String(Boolean(this.source.mirrored)));
    this.#showSound();
  }

  toggleMirror() {
    if (this.source.kind === "clip") return;
    this.source.mirrored = !this.source.mirrored;
    this.#showSource();
  }

  #frame(source) {
    if (source !== this.source) return;
    this.#frameMs = performance.now();
    for (const lane of this.lanes.all) {
      const keep = (timeUs, bitmap) => (lane === this.lane ? this.view.keep(timeUs, bitmap) : bitmap.close());
      void lane.offer(source, keep);
    }
  }

  // --- the stream that is shown -------------------------------------------------------------------------------------

  #laneChanged() {
    const { lane } = this;
    if (!lane) return;
    if (lane !== this.#shown) this.#readyMs = performance.now();
    this.#shown = lane;
    this.#wayChanged(lane);
    this.picker.setCurrent(lane.pipeline, lane.isMeasured ? "measuring…" : "…");
    this.#showForm(lane);
    this.tick();
  }

  /** Draw the form when it is another lane's, or when its lane has just learned a schema: its first, or that of a changed pipeline. */
  #showForm(lane) {
    if (this.#described?.lane === lane && this.#described.schema === lane.schema) return;
    $("#form").inert = !lane.schema;
    if (!lane.schema) return;
    this.#described = { lane, schema: lane.schema };
    setEffect("");
    this.form.show(lane.schema, lane.defaults, lane.params);
    this.#rememberParams();
  }

  #drawn(picture) {
    if (picture.lane !== this.lane) return;
    picture.lane.noteDrawn(picture);
    setVeil("");
  }

  #blocked(words, action) {
    setVeil(words, action);
    setStatus({ tone: ["again", "choose"].includes(action) ? "error" : "busy", words });
  }

  /** Bring figures and the line of state up to date. */
  tick() {
    const { lane } = this;
    this.numbers.show(lane, this.view);
    if (!lane) return;
    const nowMs = performance.now();
    if (lane.status?.worker?.state === "ready") this.#readyMs = nowMs;
    void this.#askBrowser(lane);
    setStatus(
      describe({
        pipeline: lane.pipeline || "the pipeline",
        source: this.source?.label ?? "the source",
        connected: lane.streamId !== "",
        measuring: lane.isMeasured,
        watching: lane.watch !== "",
        status: lane.status,
        sinceResultMs: nowMs - lane.lastResultMs,
        sinceFrameMs: nowMs - this.#frameMs,
        loadingMs: nowMs - this.#readyMs,
        nextPipeline: this.lanes.next?.pipeline ?? "",
      }),
    );
  }

  async #askBrowser(lane) {
    const figures = await lane.figures().catch(() => null);
    if (!figures) return;
    lane.encodeMs.add(figures.encodeMs);
  }

  async showLog() {
    $("#log-dialog").showModal();
    showLog([]);
    const ask = async () => {
      if (!$("#log-dialog").open) return;
      if (this.lane?.streamId) this.lane.askLog();
      else showLog((await fetchList("pipelines").catch(() => [])).flatMap((pipeline) => pipeline.log_tail ?? []));
      this.#timers.set("log", 1000, ask);
    };
    await ask();
  }

  // --- parameters ---------------------------------------------------------------------------------------------------

  #paramsChanged(values) {
    const { lane } = this;
    if (!lane) return;
    this.#timers.set("hash", HASH_PAUSE_MS, () => this.#rememberParams());
    const [width, height] = SIZE_NAMES.map((name) => values[name]);
    if (width === lane.width && height === lane.height) lane.setParams(values);
    else this.#timers.set("size", SIZE_PAUSE_MS, () => this.#startAnew());
  }

  /** A stream keeps its size: another one needs another stream. */
  #startAnew() {
    this.#rememberParams();
    setEffect("Starting anew with this size…");
    this.lanes.open(...this.preset);
  }

  #paramsAnswered(answer) {
    if (answer.superseded) return;
    this.form.showErrors(answer.ok ? [] : (answer.errors ?? []));
    if (!answer.ok) setEffect(answer.message, "error");
    else if (answer.reloading) setEffect("Reloading with the new values…");
  }

  #paramsEffective({ tookMs, frame }) {
    setEffect(`In effect after ${Math.round(tookMs)} ms${frame ? `, from frame ${frame.toLocaleString("en")}` : ""}`);
  }

  #rememberParams() {
    const [pipeline, changes] = this.preset;
    this.lanes.remember(pipeline, changes);
    history.replaceState(null, "", toHash(pipeline, changes));
  }

  /** The pipeline and what differs from its defaults. */
  get preset() {
    return [this.lane?.pipeline ?? "", changesOf(this.form.values, this.form.defaults)];
  }

  /** @param {{pipeline: string, params: object}} preset */
  applyPreset({ pipeline, params }) {
    if (!pipeline || pipeline === this.lane?.pipeline) {
      this.form.setValues(params);
      return;
    }
    this.lanes.remember(pipeline, params);
    this.lanes.switchTo(pipeline);
  }
}

/** The camera when it was used before and is allowed still; else the clip, so that something moves at once. */
async function firstSource() {
  if (localStorage.getItem("source") !== "camera" || !navigator.mediaDevices) return new ClipSource();
  const permission = await navigator.permissions?.query({ name: "camera" }).catch(() => null);
  return permission?.state === "granted" ? new CameraSource() : new ClipSource();
}
