// Which stream is shown, which one is being switched to, and what to do when one cannot be had or ends.

import { Lane } from "./lane.js";
import { Timers, capital } from "./ui.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 8000;

/**
 * @typedef {object} Hooks
 * @property {() => void} changed another lane is shown, or the shown one knows more about itself
 * @property {(picture: object) => void} picture
 * @property {(answer: object) => void} params
 * @property {(effect: {tookMs: number, frame: number}) => void} effective
 * @property {(lines: string[]) => void} log
 * @property {(lane: Lane) => void} way results come another way than before, or a try has failed
 * @property {(words: string) => void} notice something that passes
 * @property {(words: string, action: "" | "token" | "again" | "choose") => void} blocked there is no picture, and why
 */

export class Lanes {
  /** @type {Lane | null} */
  current = null;
  /** @type {Lane | null} */
  next = null;
  #hooks;
  #token;
  #wanted = { pipeline: "", params: {} };
  #remembered = new Map();
  #timers = new Timers();
  #retryMs = FIRST_RETRY_MS;
  #endedForQuiet = false;
  #sound = null;
  /** The stream that is only watched; empty: the page has its own. */
  watched = "";

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#token = sessionStorage.getItem("token") ?? "";
    this.wantsWebrtc = localStorage.getItem("way") !== "jpeg";
  }

  get all() {
    return [this.current, this.next].filter(Boolean);
  }

  /** Start a stream; beside a running one, which stays until the new one has its first result. */
  open(pipeline, params) {
    this.#timers.cancel("retry");
    this.#endedForQuiet = false;
    const start = { pipeline, params, token: this.#token, watch: this.watched };
    const lane = new Lane(start, this.#laneHooks(), this.wantsWebrtc);
    lane.setSound(this.#sound);
    this.next?.close();
    if (this.current) this.next = lane;
    else this.current = lane;
    this.#hooks.changed();
  }

  /** Look at another one's stream. */
  watch(stream) {
    this.watched = stream;
    this.open("", {});
  }

  /** @param {"jpeg" | "webrtc"} way as a person wants it, now and from now on */
  chooseWay(way) {
    localStorage.setItem("way", way);
    this.wantsWebrtc = way === "webrtc";
    for (const lane of this.all) {
      if (this.wantsWebrtc) lane.connect();
      else lane.disconnect();
    }
  }

  /** @param {MediaStreamTrack | null} track of the source, for all streams */
  setSound(track) {
    this.#sound = track;
    for (const lane of this.all) lane.setSound(track);
  }

  switchTo(pipeline) {
    this.open(pipeline, this.#remembered.get(pipeline) ?? {});
  }

  /** Keep what differs from a pipeline's defaults for the next time that it is opened. */
  remember(pipeline, changes) {
    this.#remembered.set(pipeline, changes);
  }

  useToken(token) {
    this.#token = token;
    sessionStorage.setItem("token", token);
    this.again();
  }

  /** Begin again after the stream has ended. */
  again() {
    this.#hooks.blocked("Starting…", "");
    this.open(this.#wanted.pipeline, this.#wanted.params);
  }

  leave() {
    for (const lane of this.all) this.#drop(lane);
  }

  /** The page is seen again. */
  comeBack() {
    if (!this.current && (this.#endedForQuiet || this.#timers.has("retry"))) this.again();
  }

  // --- what lanes tell ----------------------------------------------------------------------------------------------

  #laneHooks() {
    const ofCurrent = (tell) => (lane, detail) => lane === this.current && tell(detail);
    return {
      measuring: ofCurrent(() => this.#measuring()),
      started: (lane) => this.#started(lane),
      picture: (lane, picture) => this.#picture(lane, picture),
      schema: ofCurrent(() => this.#hooks.changed()),
      status: () => {},
      way: ofCurrent(() => this.#hooks.way(this.current)),
      params: ofCurrent((answer) => this.#hooks.params(answer)),
      effective: ofCurrent((effect) => this.#hooks.effective(effect)),
      event: ofCurrent((event) => this.#event(event)),
      log: ofCurrent((lines) => this.#hooks.log([...this.current.lostLines, ...lines])),
      refused: (lane, message) => this.#refused(lane, message),
      ended: (lane, reason) => this.#ended(lane, reason),
      lost: (lane) => this.#lost(lane),
    };
  }

  #measuring() {
    this.#hooks.blocked("Finding out which pipeline this machine is fast enough for: some seconds, at the first start only…", "");
    this.#hooks.changed();
  }

  #started(lane) {
    if (lane !== this.current) return;
    this.#hooks.blocked("Waiting for the first picture…", "");
    this.#hooks.changed();
  }

  #picture(lane, picture) {
    if (lane === this.next && lane.hasResult) {
      this.current.close();
      [this.current, this.next] = [lane, null];
      this.#hooks.changed();
    }
    if (lane !== this.current) return;
    this.#retryMs = FIRST_RETRY_MS;
    this.#hooks.picture(Object.assign(picture, { lane }));
  }

  #event(event) {
    if (event.type === "restart") this.#hooks.notice(`The worker was restarted: ${event.reason}`);
  }

  // --- when there is no stream --------------------------------------------------------------------------------------

  #refused(lane, { code, message, hint }) {
    const words = hint ? `${message}. ${capital(hint)}` : message;
    if (code === "capacity") this.#full(lane);
    else if (code === "gone") this.#block(lane, words, "choose");
    else if (code === "token") this.#block(lane, capital(message), "token");
    else if (code === "invalid" && (lane.pipeline || Object.keys(lane.params).length)) this.#startPlain(lane, words);
    else this.#stopped(lane, words);
  }

  /** What was asked for cannot be had: say so, and do with less. */
  #startPlain(lane, words) {
    this.#hooks.notice(words);
    this.#drop(lane);
    if (Object.keys(lane.params).length) this.open(lane.pipeline, {});
    else if (!this.current) this.open("", {});
    else this.#hooks.changed();
  }

  #full(lane) {
    const [wasNext, sameAsCurrent] = [lane === this.next, this.current?.pipeline === lane.pipeline];
    this.#drop(lane);
    if (wasNext && !sameAsCurrent) {
      this.#hooks.notice(`Every worker of ${lane.pipeline} has a stream. ${capital(this.current.pipeline)} goes on.`);
      this.#hooks.changed();
      return;
    }
    // Of the same pipeline the only worker is ours: it has to be free first.
    if (wasNext) this.#drop(this.current);
    this.#retry(lane, wasNext ? "Starting anew…" : "Every worker has a stream. Waiting for a free one… Until then you can look on: Streams, above");
  }

  #ended(lane, reason) {
    if (reason.includes("shuts down")) {
      this.#lost(lane);
    } else if (this.watched) {
      this.#block(lane, "This stream has ended", "choose");
    } else if (reason.startsWith("parameters refused")) {
      this.#startPlain(lane, capital(reason));
    } else if (reason.startsWith("no input")) {
      this.#stopped(lane, "The stream was ended, as no pictures came for a while");
      this.#endedForQuiet = true;
    } else {
      this.#stopped(lane, `The stream has ended: ${reason}`);
    }
  }

  #stopped(lane, words) {
    if (lane === this.next) {
      this.#hooks.notice(words);
      this.#drop(lane);
      this.#hooks.changed();
    } else {
      this.#block(lane, words, "again");
    }
  }

  #block(lane, words, action) {
    this.#drop(lane);
    this.#wanted = this.#wishOf(lane);
    this.#hooks.blocked(words, action);
  }

  #lost(lane) {
    const wasNext = lane === this.next;
    this.#drop(lane);
    if (wasNext) this.#hooks.changed();
    else this.#retry(lane, "The runner cannot be reached. Trying again…");
  }

  #retry(lane, words) {
    this.#wanted = this.#wishOf(lane);
    this.#hooks.blocked(words, "");
    this.#timers.set("retry", this.#retryMs, () => this.open(this.#wanted.pipeline, this.#wanted.params));
    this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 1.7);
  }

  #wishOf(lane) {
    return { pipeline: lane.pipeline, params: this.#remembered.get(lane.pipeline) ?? lane.params };
  }

  #drop(lane) {
    lane.close();
    if (lane === this.next) this.next = null;
    if (lane === this.current) this.current = null;
  }
}
