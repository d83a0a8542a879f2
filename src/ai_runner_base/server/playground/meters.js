// What the page counts by itself: rates and latencies over the last seconds.

/** Events per second over a sliding window. */
export class Rate {
  #timesMs = [];

  constructor(windowMs = 3000) {
    this.windowMs = windowMs;
  }

  tick(nowMs) {
    this.#timesMs.push(nowMs);
    while (this.#timesMs[0] < nowMs - this.windowMs) this.#timesMs.shift();
  }

  /** @returns {number} 0 when nothing came lately */
  perSecond(nowMs) {
    const recent = this.#timesMs.filter((time) => time > nowMs - this.windowMs);
    if (recent.length < 2 || nowMs - recent.at(-1) > 1500) return 0;
    return ((recent.length - 1) * 1000) / (recent.at(-1) - recent[0]);
  }
}

/** The last values, for quantiles and a curve. */
export class Recent {
  values = [];
  #next = 0;

  constructor(size = 300) {
    this.size = size;
  }

  add(value) {
    if (this.values.length < this.size) this.values.push(value);
    else this.values[this.#next] = value;
    this.#next = (this.#next + 1) % this.size;
  }

  /** In the order in which they were added. */
  ordered() {
    if (this.values.length < this.size) return this.values;
    return [...this.values.slice(this.#next), ...this.values.slice(0, this.#next)];
  }

  /** @returns {number | null} null when there are none */
  quantile(q) {
    if (!this.values.length) return null;
    const sorted = Float64Array.from(this.values).sort();
    return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  }
}
