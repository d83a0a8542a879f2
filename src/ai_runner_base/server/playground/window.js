// How many pictures may be on their way at once: enough to fill the wire, too few to queue on it.
// The same rule as the runner's (stream/_window.py): answers that take much longer than the fastest lately mean a queue.

const LEAST = 1;
const MOST = 8;
const SLACK_MS = 30;
const FORGET = 1.01;

export class Window {
  limit = 2;
  #sentMs = [];
  #fastestMs = Infinity;

  get room() {
    return this.#sentMs.length < this.limit;
  }

  sent(nowMs) {
    this.#sentMs.push(nowMs);
  }

  answered(nowMs) {
    if (!this.#sentMs.length) return;
    const wasFull = !this.room;
    const tookMs = nowMs - this.#sentMs.shift();
    this.#fastestMs = Math.min(tookMs, this.#fastestMs * FORGET);
    if (tookMs > 2 * this.#fastestMs + SLACK_MS) this.limit = Math.max(LEAST, this.limit - 1);
    else if (wasFull) this.limit = Math.min(MOST, this.limit + 1);
  }
}
