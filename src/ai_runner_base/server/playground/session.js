// One connection to the runner: one stream. Knows messages, not pictures' contents and not the page.

import { ACKNOWLEDGEMENT, NOTE, PICTURE, PROTOCOL, decode, encode } from "./protocol.js";
import { Window } from "./window.js";

const SEND_BUFFER_BYTES = 256 * 1024;

/**
 * @typedef {object} Handlers
 * @property {(message: {stream_id: string, pipeline: string, width: number, height: number, webrtc: object}) => void} started
 * @property {() => void} measuring the stream starts when the runner knows which pipeline it serves
 * @property {(message: {params_schema: object, default_params: object}) => void} schema
 * @property {(message: object) => void} status
 * @property {(event: object) => void} event
 * @property {(answer: object) => void} params
 * @property {(picture: {seq: number, timeUs: number, jpeg: Uint8Array, isWaitingPicture: boolean}) => void} picture
 * @property {(timeUs: number) => void} taken the runner has a picture
 * @property {(note: {seq: number, timeUs: number, isWaitingPicture: boolean}) => void} note about a picture by WebRTC
 * @property {(message: {rtp_origin: number}) => void} clock
 * @property {(lines: string[]) => void} log
 * @property {(message: {code: string, message: string, hint: string}) => void} refused
 * @property {(reason: string) => void} ended
 * @property {() => void} lost the connection is gone and nothing said why
 */

export class Session {
  #socket;
  #handlers;
  #window = new Window();
  #started = false;
  #over = false;
  #sendingParams = null;
  #waitingParams = null;
  #updates = 0;
  #offers = new Map();

  /**
   * @param {object} start the first message: `start` with a pipeline, or `watch` with a stream
   * @param {Handlers} handlers
   */
  constructor(start, handlers) {
    this.#handlers = handlers;
    const address = new URL("playground/session", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.#socket = new WebSocket(address, PROTOCOL);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#say(start);
    this.#socket.onmessage = (message) => this.#take(message.data);
    this.#socket.onclose = () => this.#finish(() => this.#handlers.lost());
  }

  /** Whether another picture would reach the runner without queueing. */
  get canSend() {
    return this.#started && !this.#over && this.#window.room && this.#socket.bufferedAmount < SEND_BUFFER_BYTES;
  }

  sendPicture(jpeg, timeUs) {
    if (this.#over || this.#socket.readyState !== WebSocket.OPEN) return;
    this.#window.sent(performance.now());
    this.#socket.send(encode(PICTURE, 0, timeUs, jpeg));
  }

  /** Give the complete parameters; while an earlier set is not answered, only the newest one waits. */
  setParams(params) {
    this.#waitingParams = { type: "params", n: ++this.#updates, params, atMs: performance.now() };
    this.#sendParams();
  }

  /**
   * Offer to go on by WebRTC.
   * @returns {Promise<string>} the runner's answer
   * @throws {Error} with the runner's reason
   */
  offer(sdp) {
    const n = ++this.#updates;
    this.#say({ type: "offer", n, sdp });
    return new Promise((done, failed) => this.#offers.set(n, { done, failed }));
  }

  sendCandidate({ candidate, sdpMid }) {
    this.#say({ type: "candidates", sdp: `a=mid:${sdpMid}\r\na=${candidate}\r\n` });
  }

  /** @param {"jpeg" | "webrtc"} way how results shall come */
  choose(way) {
    this.#say({ type: "way", way });
  }

  askLog() {
    this.#say({ type: "log" });
  }

  close() {
    this.#over = true;
    this.#socket.close();
  }

  #sendParams() {
    if (this.#sendingParams || !this.#waitingParams || !this.#started) return;
    this.#sendingParams = this.#waitingParams;
    this.#waitingParams = null;
    const { atMs, ...message } = this.#sendingParams;
    this.#say(message);
  }

  #say(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #take(data) {
    if (this.#over) return;
    if (typeof data === "string") this.#takeMessage(JSON.parse(data));
    else this.#takeBinary(decode(data));
  }

  #takeBinary(message) {
    if (message.kind === ACKNOWLEDGEMENT) {
      this.#window.answered(performance.now());
      this.#handlers.taken(message.timeUs);
    } else if (message.kind === NOTE) {
      this.#handlers.note(message);
    } else {
      this.#socket.send(encode(ACKNOWLEDGEMENT, message.seq, message.timeUs));
      this.#handlers.picture(message);
    }
  }

  #takeMessage(message) {
    switch (message.type) {
      case "started":
        this.#started = true;
        this.#handlers.started(message);
        this.#sendParams();
        break;
      case "status":
        this.#say({ type: "seen" });
        this.#handlers.status(message);
        break;
      case "params":
        this.#answerParams(message);
        break;
      case "refused":
        this.#finish(() => this.#handlers.refused(message));
        break;
      case "ended":
        this.#finish(() => this.#handlers.ended(message.reason));
        break;
      case "measuring":
        this.#handlers.measuring();
        break;
      case "schema":
        this.#handlers.schema(message);
        break;
      case "answer":
        this.#answerOffer(message);
        break;
      case "clock":
        this.#handlers.clock(message);
        break;
      case "event":
        this.#handlers.event(message.event);
        break;
      case "log":
        this.#handlers.log(message.lines);
        break;
    }
  }

  #answerParams(message) {
    const asked = this.#sendingParams;
    this.#sendingParams = null;
    this.#handlers.params({ ...message, askedMs: asked?.atMs ?? performance.now(), isNewest: !this.#waitingParams });
    this.#sendParams();
  }

  #answerOffer({ n, ok, sdp, message }) {
    const asked = this.#offers.get(n);
    this.#offers.delete(n);
    if (ok) asked?.done(sdp);
    else asked?.failed(new Error(message));
  }

  #finish(tell) {
    if (this.#over) return;
    this.#over = true;
    this.#socket.close();
    tell();
  }
}
