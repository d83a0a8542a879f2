// One stream as the page sees it: its session, its pictures on the way out and back, and what can be counted here.

import { Grabber } from "./grabber.js";
import { Rate, Recent } from "./meters.js";
import { Session } from "./session.js";

const EFFECT_LIMIT_MS = 15_000;

export class Lane {
  width = 0;
  height = 0;
  streamId = "";
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
  #grabber = null;
  #session;
  #lastUs = 0;
  #awaited = null;
  #hooks;

  /**
   * @param {{pipeline: string, params: object, token: string}} start
   * @param {Record<string, (lane: Lane, detail: any) => void>} hooks started, schema, status, event, params, picture,
   *   effective, log, refused, ended, lost
   */
  constructor(start, hooks) {
    this.pipeline = start.pipeline;
    this.params = start.params;
    this.#hooks = hooks;
    const passed = ["status", "event", "log", "refused", "ended", "lost"];
    const handlers = Object.fromEntries(passed.map((name) => [name, (detail) => this.#pass(name, detail)]));
    handlers.started = (message) => this.#started(message);
    handlers.schema = (message) => this.#describe(message);
    handlers.params = (answer) => this.#answered(answer);
    handlers.picture = (picture) => this.#arrived(picture);
    this.#session = new Session(start, handlers);
  }

  #pass(name, detail) {
    if (name === "status") this.status = detail;
    if (name === "event" && detail.type === "restart") {
      this.lostLines = [...(detail.restart_logs ?? []), `--- ${detail.reason}; the lines of the new worker:`];
    }
    this.#hooks[name](this, detail);
  }

  #started(message) {
    Object.assign(this, { width: message.width, height: message.height });
    Object.assign(this, { streamId: message.stream_id, pipeline: message.pipeline });
    this.#grabber = new Grabber(this.width, this.height);
    this.#hooks.started(this, message);
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
    this.drawMs.add(nowMs - picture.arrivedMs);
    this.latencyMs.add(nowMs - picture.timeUs / 1000);
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
    this.#session.close();
    this.#grabber?.close();
    this.#grabber = null;
  }
}
