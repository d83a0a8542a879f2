// One stream as the page sees it: its session, its pictures on the way out and back, and what can be counted here.

import { Grabber } from "./grabber.js";
import { Link, isSupported } from "./link.js";
import { LEAST_WIDTH, WRAP_MS } from "./mark.js";
import { Rate, Recent } from "./meters.js";
import { Session } from "./session.js";

const EFFECT_LIMIT_MS = 15_000;
const RECENT_MS = 1000;
/** A picture by WebRTC that the runner has not got after this: no more are sent behind it… */
const LATE_MS = 300;
/** …unless it is so late that it must have been lost. */
const LOST_MS = 1200;
const KEPT_NOTES = 90;
const TICKS_PER_MS = 90;
const TICK_WRAP = 2 ** 32;
/** A frame and its note may differ by rounding. */
const TICK_TOLERANCE = 45;

export class Lane {
  width = 0;
  height = 0;
  streamId = "";
  /** Whether the stream waits for the runner to find out which pipeline it serves. */
  isMeasured = false;
  schema = null;
  defaults = null;
  status = null;
  hasResult = false;
  latencyMs = new Recent();
  encodeMs = new Recent(120);
  drawMs = new Recent(120);
  sent = new Rate();
  drawn = new Rate();
  skipped = 0;
  lastResultMs = -Infinity;
  /** What workers of this stream wrote that are gone. */
  lostLines = [];
  /** @type {"jpeg" | "webrtc"} how results come */
  way = "jpeg";
  /** Why it is not WebRTC; empty while it is, or may become so. */
  whyNot = "";
  canConnect = false;
  #link = null;
  #iceServers = [];
  #rtpOrigin = null;
  #notes = [];
  /** Times in ms of pictures that went by WebRTC and have not reached the runner. */
  #underWay = [];
  /** When the runner last said that more pictures have reached it. */
  #receivedMs = 0;
  #sound = null;
  #grabber = null;
  #session;
  #lastUs = 0;
  #awaited = null;
  #hooks;

  /**
   * @param {{pipeline: string, params: object, token: string, watch?: string}} start with `watch` another one's stream
   * @param {Record<string, (lane: Lane, detail: any) => void>} hooks measuring, started, schema, status, event, params, picture,
   *   effective, log, refused, ended, lost, way
   * @param {boolean} wantsWebrtc
   */
  constructor({ pipeline, params, token, watch = "" }, hooks, wantsWebrtc) {
    Object.assign(this, { pipeline, params, watch, wantsWebrtc });
    this.#hooks = hooks;
    const passed = ["status", "event", "log", "refused", "ended", "lost"];
    const handlers = Object.fromEntries(passed.map((name) => [name, (detail) => this.#pass(name, detail)]));
    handlers.started = (message) => this.#started(message);
    handlers.measuring = () => this.#measured();
    handlers.schema = (message) => this.#describe(message);
    handlers.params = (answer) => this.#answered(answer);
    handlers.picture = (picture) => this.way === "jpeg" && this.#arrived(picture);
    handlers.taken = (timeUs) => this.#taken(timeUs / 1000);
    handlers.note = (note) => this.#noted(note);
    handlers.clock = ({ rtp_origin }) => (this.#rtpOrigin = rtp_origin);
    const start = watch ? { type: "watch", stream: watch, token } : { type: "start", pipeline, params, token };
    this.#session = new Session(start, handlers);
  }

  #pass(name, detail) {
    if (name === "status") this.#told(detail);
    if (name === "event" && detail.type === "restart") {
      this.lostLines = [...(detail.restart_logs ?? []), `--- ${detail.reason}; the lines of the new worker:`];
    }
    this.#hooks[name](this, detail);
  }

  #told(status) {
    if (status.stream.source.decoded !== this.status?.stream.source.decoded) this.#receivedMs = performance.now();
    this.status = status;
  }

  #measured() {
    this.isMeasured = true;
    this.#hooks.measuring(this);
  }

  #started(message) {
    Object.assign(this, { width: message.width, height: message.height });
    Object.assign(this, { streamId: message.stream_id, pipeline: message.pipeline, isMeasured: false });
    if (!this.watch) this.#grabber = new Grabber(this.width, this.height);
    this.#iceServers = message.webrtc.ice_servers;
    if (!message.webrtc.available) this.whyNot = "this runner has no WebRTC: start it in the environment webrtc";
    else if (!isSupported) this.whyNot = "this browser has no WebRTC that shows single frames";
    else if (this.width < LEAST_WIDTH) this.whyNot = `pictures are narrower than ${LEAST_WIDTH} pixels`;
    this.canConnect = !this.whyNot;
    this.#hooks.started(this, message);
    if (this.wantsWebrtc) this.connect();
  }

  // --- WebRTC -------------------------------------------------------------------------------------------------------

  /** Try WebRTC; JPEG goes on until it works. */
  connect() {
    if (!this.canConnect || this.#link) return;
    this.whyNot = "";
    const size = this.watch ? null : [this.width, this.height];
    this.#link = new Link(this.#session, { iceServers: this.#iceServers, size }, {
      connected: () => this.#session.choose("webrtc"),
      frame: (video, rtpTimestamp) => this.#framed(video, rtpTimestamp),
      failed: (reason) => this.disconnect(reason),
      expected: () => this.#expectsResults,
    });
    this.#applySound();
  }

  /** Go on with JPEG. @param {string} reason why; empty when a person wants it */
  disconnect(reason = "") {
    this.whyNot = reason;
    this.#link?.close();
    this.#link = null;
    this.#rtpOrigin = null;
    this.#notes = [];
    this.#underWay = [];
    this.#session.choose("jpeg");
    this.#setWay("jpeg");
  }

  #setWay(way) {
    if (way === this.way && !this.whyNot) return;
    if (way !== this.way) [this.latencyMs, this.encodeMs, this.drawMs] = [new Recent(), new Recent(120), new Recent(120)];
    this.way = way;
    this.#hooks.way(this);
  }

  /** What is sent does not arrive, or results are made and do not arrive: a slow pipeline is neither. */
  get #expectsResults() {
    const nowMs = performance.now();
    if (!this.watch) {
      const isLost = this.sent.perSecond(nowMs) > 1 && nowMs - this.#receivedMs > 2 * RECENT_MS;
      return isLost || (this.#notes.length > 0 && nowMs - this.#notes.at(-1).atMs < RECENT_MS);
    }
    return (this.status?.stream.report.inference_status.fps ?? 0) > 1;
  }

  #noted(note) {
    const nowMs = performance.now();
    // The runner knows the lower bits of this page's time.
    const agoMs = (((nowMs - note.timeUs / 1000) % WRAP_MS) + WRAP_MS) % WRAP_MS;
    const timeMs = Math.round(nowMs - agoMs);
    const ticks = (Math.round(note.timeUs / 1000) * TICKS_PER_MS) % TICK_WRAP;
    this.#notes.push({ ...note, timeUs: timeMs * 1000, ticks, atMs: nowMs });
    if (this.#notes.length > KEPT_NOTES) this.#notes.shift();
  }

  /** A frame is there: find out which one it is. */
  #framed(video, rtpTimestamp) {
    if (!this.#link?.connected) return;
    this.#setWay("webrtc");
    const note = this.#noteOf(rtpTimestamp);
    this.#arrived({ seq: 0, timeUs: null, isWaitingPicture: false, ...note, video });
  }

  #noteOf(rtpTimestamp) {
    const newest = this.#notes.at(-1);
    if (rtpTimestamp === undefined || this.#rtpOrigin === null) return newest ? { ...newest, isGuess: true } : null;
    const ticks = (rtpTimestamp - this.#rtpOrigin + TICK_WRAP) % TICK_WRAP;
    return this.#notes.find((note) => Math.abs(note.ticks - ticks) <= TICK_TOLERANCE) ?? null;
  }

  /** @param {MediaStreamTrack | null} track the source's sound, while it is wanted */
  setSound(track) {
    this.#sound = track;
    this.#applySound();
  }

  #applySound() {
    if (!this.watch) void this.#link?.setSound(this.#sound);
  }

  /** Hear a stream that is only watched. */
  listen(wanted) {
    void this.#link?.listen(wanted);
  }

  /** @returns {Promise<{encodeMs: number} | null>} what the browser says of the connection */
  async figures() {
    return this.way === "webrtc" ? this.#link?.figures() : null;
  }

  #describe(message) {
    this.schema = message.params_schema;
    this.defaults = message.default_params;
    this.#hooks.schema(this, message);
  }

  /**
   * Send the source's present picture, unless that would only make it wait.
   * @param {(timeUs: number, bitmap: ImageBitmap) => void} keep gets the picture that was sent
   */
  async offer(source, keep) {
    if (!this.#grabber) return;
    if (this.#link?.connected) {
      this.#sendFrame(source, keep);
      return;
    }
    if (this.#grabber.busy || !this.#session.canSend) {
      this.skipped += 1;
      return;
    }
    const beganMs = performance.now();
    this.#lastUs = Math.max(this.#lastUs + 1, Math.round(beganMs * 1000));
    const timeUs = this.#lastUs;
    const { bitmap, jpeg } = await this.#grabber.grab(source);
    this.encodeMs.add(performance.now() - beganMs);
    this.sent.tick(beganMs);
    keep(timeUs, bitmap);
    this.#session.sendPicture(jpeg, timeUs);
  }

  #sendFrame(source, keep) {
    const beganMs = performance.now();
    while (beganMs - this.#underWay[0] > LOST_MS) this.#underWay.shift();
    if (beganMs - this.#underWay[0] > LATE_MS) {
      this.skipped += 1;
      return;
    }
    const timeMs = Math.max(Math.ceil((this.#lastUs + 1) / 1000), Math.round(beganMs));
    this.#underWay.push(timeMs);
    this.#lastUs = timeMs * 1000;
    const bitmap = this.#grabber.snap(source);
    this.#link.send(bitmap, timeMs);
    this.sent.tick(beganMs);
    keep(this.#lastUs, bitmap);
  }

  /** This one has arrived, and what went before it has or never will. The runner may know the lower bits only. */
  #taken(timeMs) {
    const isBefore = (sentMs) => (((timeMs - sentMs) % WRAP_MS) + WRAP_MS) % WRAP_MS < WRAP_MS / 2;
    while (this.#underWay.length && isBefore(this.#underWay[0])) this.#underWay.shift();
  }

  #arrived(picture) {
    picture.arrivedMs = performance.now();
    this.hasResult ||= !picture.isWaitingPicture;
    this.#hooks.picture(this, picture);
  }

  /** Note that a result is on the screen. */
  noteDrawn(picture) {
    const nowMs = performance.now();
    this.drawn.tick(nowMs);
    if (picture.isWaitingPicture) return;
    this.lastResultMs = nowMs;
    if (picture.timeUs === null) return;
    this.drawMs.add(nowMs - picture.arrivedMs);
    if (!this.watch && !picture.isGuess) this.latencyMs.add(nowMs - picture.timeUs / 1000);
    this.#noteEffect(picture, nowMs);
  }

  // --- parameters -------------------------------------------------------------------------------------------------

  setParams(params) {
    this.params = params;
    this.#session.setParams(params);
  }

  #answered(answer) {
    if (answer.ok) this.#awaited = { from: answer.from_frame ?? 0, askedMs: answer.askedMs };
    this.#hooks.params(this, answer);
  }

  #noteEffect(picture, nowMs) {
    const awaited = this.#awaited;
    if (!awaited) return;
    const late = nowMs - awaited.askedMs > EFFECT_LIMIT_MS;
    if (picture.seq && picture.seq < awaited.from && !late) return;
    this.#awaited = null;
    if (!late) this.#hooks.effective(this, { tookMs: nowMs - awaited.askedMs, frame: picture.seq });
  }

  askLog() {
    this.#session.askLog();
  }

  close() {
    this.#link?.close();
    this.#link = null;
    this.#session.close();
    this.#grabber?.close();
    this.#grabber = null;
  }
}
