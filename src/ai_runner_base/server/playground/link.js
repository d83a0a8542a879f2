// The way by WebRTC, beside a session: pictures go out by one track and results come back by another.

import { marginOf, paintMarked } from "./mark.js";

/** Nothing is lost by waiting for a connection: JPEG goes on meanwhile. Once there is one, it does not. */
const CONNECT_LIMIT_MS = 8000;
const FIRST_LIMIT_MS = 3000;
const STALL_LIMIT_MS = 2500;
const CHECK_EVERY_MS = 500;
/** Up to this size VP8 goes out: the software H.264 of browsers leaves dots where things have moved. */
const VP8_PIXELS = 1280 * 720;

/** Whether this browser can do it at all. */
export const isSupported =
  typeof RTCPeerConnection !== "undefined" &&
  "captureStream" in HTMLCanvasElement.prototype &&
  "requestVideoFrameCallback" in HTMLVideoElement.prototype;

/**
 * @typedef {object} Hooks
 * @property {() => void} connected pictures may be sent
 * @property {(video: HTMLVideoElement, rtpTimestamp: number | undefined) => void} frame a result is there
 * @property {(reason: string) => void} failed it does not connect, or not any more
 * @property {() => boolean} expected whether results should be coming just now
 */

export class Link {
  connected = false;
  #peer;
  #session;
  #hooks;
  #canvas = null;
  #context = null;
  #track = null;
  #requestFrame = () => {};
  #soundSender = null;
  #video = document.createElement("video");
  #audio = new Audio();
  #over = false;
  #beganMs = performance.now();
  #lastFrameMs = 0;
  #timer;

  /**
   * @param {import("./session.js").Session} session carries offer and answer
   * @param {{iceServers: object[], size: [number, number] | null}} options without a size nothing is sent
   * @param {Hooks} hooks
   */
  constructor(session, { iceServers, size }, hooks) {
    this.#session = session;
    this.#hooks = hooks;
    this.#peer = new RTCPeerConnection({ iceServers });
    if (size) this.#addPictures(...size);
    const down = this.#peer.addTransceiver("video", { direction: "recvonly" });
    // A live picture is wanted now, not smoothly later.
    if ("jitterBufferTarget" in down.receiver) down.receiver.jitterBufferTarget = 0;
    this.#soundSender = this.#peer.addTransceiver("audio", { direction: size ? "sendrecv" : "recvonly" }).sender;
    this.#peer.ontrack = ({ track }) => this.#play(track);
    this.#peer.onconnectionstatechange = () => this.#changed();
    this.#peer.onicecandidate = ({ candidate }) => candidate?.candidate && session.sendCandidate(candidate);
    this.#timer = setInterval(() => this.#check(), CHECK_EVERY_MS);
    void this.#offer();
  }

  #addPictures(width, height) {
    this.#canvas = Object.assign(document.createElement("canvas"), { width, height: height + 2 * marginOf(height) });
    this.#context = this.#canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    const stream = this.#canvas.captureStream(0);
    [this.#track] = stream.getVideoTracks();
    // Firefox has it at the stream, as an older draft wanted it.
    this.#requestFrame = () => (this.#track.requestFrame ? this.#track.requestFrame() : stream.requestFrame());
    this.#track.contentHint = "motion";
    const transceiver = this.#peer.addTransceiver(this.#track, { direction: "sendonly" });
    if (width * height > VP8_PIXELS || !transceiver.setCodecPreferences) return;
    const { codecs } = RTCRtpSender.getCapabilities("video");
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => /\/(VP8|rtx)$/i.test(mimeType)));
  }

  async #offer() {
    try {
      await this.#peer.setLocalDescription();
      const sdp = await this.#session.offer(this.#peer.localDescription.sdp);
      if (!this.#over) await this.#peer.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      this.#fail(error.message);
    }
  }

  #changed() {
    const state = this.#peer.connectionState;
    if (state === "connected" && !this.connected) {
      this.connected = true;
      this.#beganMs = performance.now();
      this.#hooks.connected();
    } else if (state === "failed" || state === "closed") {
      this.#fail("the connection was lost");
    }
  }

  #check() {
    const nowMs = performance.now();
    const limitMs = this.connected ? FIRST_LIMIT_MS : CONNECT_LIMIT_MS;
    if (!this.#lastFrameMs && nowMs - this.#beganMs > limitMs) {
      this.#fail(this.connected ? "no picture came" : `no connection within ${CONNECT_LIMIT_MS / 1000} s`);
    } else if (!this.#hooks.expected() || document.hidden) {
      this.#lastFrameMs &&= nowMs;
    } else if (this.#lastFrameMs && nowMs - this.#lastFrameMs > STALL_LIMIT_MS) {
      this.#fail("pictures stopped coming");
    }
  }

  /** Send a picture that was taken at a time of this page's clock, in whole milliseconds. */
  send(bitmap, timeMs) {
    paintMarked(this.#context, bitmap, timeMs);
    this.#requestFrame();
  }

  /** @param {MediaStreamTrack | null} track what is heard at the source; null: silence, and nothing is played */
  async setSound(track) {
    await this.#soundSender?.replaceTrack(track);
    this.#audio.muted = !track;
    if (track) await this.#audio.play().catch(() => {});
  }

  /** Play what the stream sounds like, for a page that sends none. */
  async listen(wanted) {
    this.#audio.muted = !wanted;
    if (wanted) await this.#audio.play().catch(() => {});
  }

  #play(track) {
    if (track.kind === "audio") {
      this.#audio.muted = true;
      this.#audio.srcObject = new MediaStream([track]);
      return;
    }
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#video.srcObject = new MediaStream([track]);
    const look = (_, metadata) => {
      if (this.#over) return;
      this.#video.requestVideoFrameCallback(look);
      this.#lastFrameMs = performance.now();
      this.#hooks.frame(this.#video, metadata.rtpTimestamp);
    };
    this.#video.requestVideoFrameCallback(look);
    this.#video.play().catch(() => {});
  }

  /** @returns {Promise<{encodeMs: number}>} the mean of the whole connection */
  async figures() {
    const all = [...(await this.#peer.getStats()).values()];
    const out = all.find((entry) => entry.type === "outbound-rtp" && entry.kind === "video");
    return { encodeMs: (1000 * (out?.totalEncodeTime ?? 0)) / Math.max(1, out?.framesEncoded ?? 0) };
  }

  #fail(reason) {
    if (this.#over) return;
    this.close();
    this.#hooks.failed(reason);
  }

  close() {
    this.#over = true;
    this.connected = false;
    clearInterval(this.#timer);
    this.#track?.stop();
    this.#peer.close();
    this.#video.srcObject = null;
    this.#audio.srcObject = null;
  }
}
