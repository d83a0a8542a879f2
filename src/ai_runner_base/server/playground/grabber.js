// From a source's frame to a picture of the pipeline's size: a bitmap for the "before" view and a JPEG to send.

const QUALITY = 0.8;

export class Grabber {
  #canvas;
  #context;
  #worker = new Worker(new URL("jpeg-worker.js", import.meta.url));
  #done = null;

  constructor(width, height) {
    this.#canvas = new OffscreenCanvas(width, height);
    this.#context = this.#canvas.getContext("2d", { alpha: false });
    this.#worker.onmessage = ({ data }) => {
      const done = this.#done;
      this.#done = null;
      done?.(data);
    };
  }

  /** Whether an earlier picture is still being encoded. */
  get busy() {
    return this.#done !== null;
  }

  /** @returns {ImageBitmap} the source's present picture */
  snap(source) {
    source.paint(this.#context, this.#canvas.width, this.#canvas.height);
    return this.#canvas.transferToImageBitmap();
  }

  /**
   * @param {{paint: (context: OffscreenCanvasRenderingContext2D, width: number, height: number) => void}} source
   * @returns {Promise<{bitmap: ImageBitmap, jpeg: ArrayBuffer}>}
   */
  grab(source) {
    const bitmap = this.snap(source);
    return new Promise((done) => {
      this.#done = done;
      this.#worker.postMessage({ bitmap, quality: QUALITY }, [bitmap]);
    });
  }

  close() {
    this.#worker.terminate();
    this.#done = null;
  }
}
