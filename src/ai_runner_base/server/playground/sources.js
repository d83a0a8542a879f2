// Where pictures come from. Each source calls `onFrame` when it has a new one and paints it when asked.

import { Scene } from "./scene.js";

export const MAX_FPS = 30;

/** Paints the middle of a picture so that it covers the whole canvas. */
function cover(context, picture, pictureWidth, pictureHeight, width, height, mirrored) {
  const scale = Math.max(width / pictureWidth, height / pictureHeight);
  const w = pictureWidth * scale;
  const h = pictureHeight * scale;
  context.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? width : 0, 0);
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/** Lets through at most MAX_FPS calls a second, evenly. */
class Pacer {
  #dueMs = 0;

  due(nowMs) {
    const intervalMs = 1000 / MAX_FPS;
    if (nowMs < this.#dueMs - 4) return false;
    this.#dueMs = Math.max(this.#dueMs + intervalMs, nowMs - intervalMs);
    return true;
  }
}

/** The built-in moving picture: needs no camera and no permission. */
export class ClipSource {
  kind = "clip";
  hasSound = false;
  label = "Built-in clip";
  #scene = new Scene();
  #pacer = new Pacer();
  #request = 0;

  async start(onFrame) {
    const tick = (nowMs) => {
      this.#request = requestAnimationFrame(tick);
      if (this.#pacer.due(nowMs)) onFrame();
    };
    this.#request = requestAnimationFrame(tick);
  }

  paint(context, width, height) {
    this.#scene.paint(context, width, height, performance.now() / 1000);
  }

  stop() {
    cancelAnimationFrame(this.#request);
  }
}

/** Anything that a video element plays. */
class VideoSource {
  mirrored = false;
  hasSound = true;
  onEnd = () => {};
  #pacer = new Pacer();
  #stopped = false;

  constructor() {
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
  }

  async start(onFrame) {
    await this.open();
    await this.video.play();
    this.#follow(onFrame);
  }

  #follow(onFrame) {
    if (this.#stopped) return;
    const tick = (nowMs) => {
      this.#follow(onFrame);
      if (this.#pacer.due(nowMs)) onFrame();
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(tick);
    else requestAnimationFrame(tick);
  }

  paint(context, width, height) {
    const { videoWidth, videoHeight } = this.video;
    if (videoWidth) cover(context, this.video, videoWidth, videoHeight, width, height, this.mirrored);
  }

  /** Stop listening, where that lights a lamp. */
  silence() {}

  stop() {
    this.#stopped = true;
    this.video.pause();
  }
}

/**
 * @callback Sound
 * @returns {Promise<MediaStreamTrack>} what is heard at a source
 * @throws {Error} it has no sound, or is not allowed to give it
 */

/** A live capture; ends when the person or the device ends it. */
class CaptureSource extends VideoSource {
  async open() {
    const capture = await this.capture();
    const [track] = capture.getVideoTracks();
    this.label = track.label || this.label;
    this.hasSound = this.kind === "camera" || capture.getAudioTracks().length > 0;
    track.addEventListener("ended", () => this.onEnd());
    this.video.srcObject = capture;
  }

  stop() {
    super.stop();
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.microphone?.stop();
    this.video.srcObject = null;
  }
}

export class CameraSource extends CaptureSource {
  kind = "camera";
  label = "Camera";
  mirrored = true;

  capture() {
    need(navigator.mediaDevices?.getUserMedia, "cameras");
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: MAX_FPS } };
    return navigator.mediaDevices.getUserMedia({ video, audio: false });
  }

  /** Asked for when it is wanted only. @type {Sound} */
  async sound() {
    const audio = { echoCancellation: true, noiseSuppression: true };
    [this.microphone] = (await navigator.mediaDevices.getUserMedia({ audio })).getAudioTracks();
    return this.microphone;
  }

  silence() {
    this.microphone?.stop();
  }
}

export class ScreenSource extends CaptureSource {
  kind = "screen";
  label = "Screen";

  capture() {
    need(navigator.mediaDevices?.getDisplayMedia, "screens");
    return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: MAX_FPS }, audio: true });
  }

  /** @type {Sound} */
  async sound() {
    return this.video.srcObject.getAudioTracks()[0];
  }
}

export class FileSource extends VideoSource {
  kind = "file";
  #listening = null;

  /** @param {File} file */
  constructor(file) {
    super();
    this.label = file.name;
    this.video.loop = true;
    this.video.src = URL.createObjectURL(file);
  }

  async open() {
    await new Promise((done, failed) => {
      this.video.onloadeddata = done;
      this.video.onerror = () => failed(new Error(`this browser cannot play ${this.label}`));
    });
    this.video.onerror = null;
  }

  /** Led away from the loudspeakers: what is heard is what comes back. @type {Sound} */
  async sound() {
    if (!this.#listening) {
      const context = new AudioContext();
      const out = context.createMediaStreamDestination();
      context.createMediaElementSource(this.video).connect(out);
      this.video.muted = false;
      this.#listening = { context, track: out.stream.getAudioTracks()[0] };
    }
    await this.#listening.context.resume();
    return this.#listening.track;
  }

  stop() {
    super.stop();
    void this.#listening?.context.close();
    URL.revokeObjectURL(this.video.src);
  }
}

function need(api, what) {
  if (api) return;
  const hint = window.isSecureContext ? "" : "; open the page through https or at localhost";
  throw new Error(`this browser shows no ${what} to this page${hint}`);
}

/** What went wrong when a source, or a microphone, would not start, for a person. */
export function explain(error, kind) {
  const words = {
    NotAllowedError: kind === "screen" ? "Sharing was not allowed" : `The ${kind} was not allowed`,
    NotFoundError: `There is no ${kind} here`,
    NotReadableError: `Another program uses the ${kind}`,
    AbortError: "Nothing was chosen",
  };
  return words[error.name] ?? error.message;
}
