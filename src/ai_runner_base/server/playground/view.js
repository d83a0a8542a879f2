// The stage: before and after, split or side by side; full screen, snapshot, recording.

const KEPT_BYTES = 64 * 1024 * 1024;
const RECORDINGS = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];

export class View {
  #stage;
  #before;
  #after;
  #handle;
  #kept = new Map();
  #keptBytes = 0;
  #latest = null;
  #decoding = false;
  #cut = 0.5;
  #recorder = null;

  /**
   * @param {HTMLElement} stage with canvases .before and .after and a .handle
   * @param {(picture: object) => void} onDrawn called when a result is on the canvas
   */
  constructor(stage, onDrawn) {
    this.#stage = stage;
    this.#before = stage.querySelector("canvas.before");
    this.#after = stage.querySelector("canvas.after");
    this.#handle = stage.querySelector(".handle");
    this.onDrawn = onDrawn;
    this.undrawn = 0;
    this.#followHandle();
  }

  // --- pictures ---------------------------------------------------------------------------------------------------

  /** Keep an input picture until its result comes. */
  keep(timeUs, bitmap) {
    this.#kept.set(timeUs, bitmap);
    this.#keptBytes += bitmap.width * bitmap.height * 4;
    for (const [oldest] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES || this.#kept.size <= 2) break;
      this.#forget(oldest);
    }
  }

  #forget(timeUs) {
    const bitmap = this.#kept.get(timeUs);
    this.#kept.delete(timeUs);
    this.#keptBytes -= bitmap.width * bitmap.height * 4;
    bitmap.close();
  }

  /** Show a result: at once when it is a video's present frame, else as soon as it is decoded; the newest one wins. */
  show(picture) {
    if (picture.video) {
      this.#draw(picture, picture.video, picture.video.videoWidth, picture.video.videoHeight);
      return;
    }
    if (this.#latest) this.undrawn += 1;
    this.#latest = picture;
    if (!this.#decoding) void this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    try {
      while (this.#latest) {
        const picture = this.#latest;
        this.#latest = null;
        const bitmap = await createImageBitmap(new Blob([picture.jpeg], { type: "image/jpeg" }));
        this.#draw(picture, bitmap, bitmap.width, bitmap.height);
        bitmap.close();
      }
    } finally {
      this.#decoding = false;
    }
  }

  #draw(picture, image, width, height) {
    paint(this.#after, image, width, height);
    this.#stage.style.setProperty("--ratio", String(width / height));
    this.#drawBefore(picture.timeUs);
    this.onDrawn(picture);
  }

  /** The picture that this result was made from, so that both sides show the same moment. */
  #drawBefore(timeUs) {
    for (const [time, bitmap] of this.#kept) {
      if (time > timeUs) break;
      if (time === timeUs) paint(this.#before, bitmap, bitmap.width, bitmap.height);
      this.#forget(time);
    }
  }

  // --- layout (the rest of it is in style.css) ----------------------------------------------------------------------

  /** @param {"after" | "split" | "side"} mode */
  setMode(mode) {
    this.#stage.dataset.view = mode;
  }

  #followHandle() {
    const move = (event) => {
      const { left, width } = this.#after.getBoundingClientRect();
      this.#setCut((event.clientX - left) / width);
    };
    this.#stage.addEventListener("pointerdown", (event) => {
      if (this.#stage.dataset.view !== "split" || event.target.closest(".veil")) return;
      this.#stage.setPointerCapture(event.pointerId);
      this.#handle.focus({ preventScroll: true });
      move(event);
      this.#stage.onpointermove = move;
    });
    this.#stage.addEventListener("mousedown", (event) => {
      // Else the click would take the keyboard away from the handle again.
      if (this.#stage.dataset.view === "split" && !event.target.closest(".veil")) event.preventDefault();
    });
    const letGo = () => (this.#stage.onpointermove = null);
    this.#stage.addEventListener("pointerup", letGo);
    this.#stage.addEventListener("pointercancel", letGo);
    this.#handle.addEventListener("keydown", (event) => this.#moveByKey(event));
    this.#setCut(this.#cut);
  }

  #moveByKey(event) {
    const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.#setCut(this.#cut + steps[event.key]);
  }

  #setCut(cut) {
    this.#cut = Math.min(1, Math.max(0, cut));
    this.#stage.style.setProperty("--cut", String(this.#cut));
    this.#handle.setAttribute("aria-valuenow", String(Math.round(this.#cut * 100)));
  }

  // --- keeping ----------------------------------------------------------------------------------------------------

  async toggleFullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.#stage.requestFullscreen();
  }

  saveSnapshot(name) {
    this.#after.toBlob((blob) => download(blob, `${name}.png`), "image/png");
  }

  /**
   * Begin to record the result, or end and save it.
   * @returns {boolean} whether it is being recorded now
   */
  toggleRecording(name) {
    if (this.#recorder) {
      this.#recorder.stop();
      this.#recorder = null;
      return false;
    }
    const chunks = [];
    const mimeType = RECORDINGS.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(this.#after.captureStream(), { mimeType, videoBitsPerSecond: 8_000_000 });
    const suffix = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
    recorder.ondataavailable = (event) => chunks.push(event.data);
    recorder.onstop = () => download(new Blob(chunks, { type: recorder.mimeType }), `${name}.${suffix}`);
    recorder.start(1000);
    this.#recorder = recorder;
    return true;
  }
}

function paint(canvas, image, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d", { alpha: false }).drawImage(image, 0, 0, width, height);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
