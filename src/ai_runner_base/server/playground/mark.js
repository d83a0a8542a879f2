// The time at which a picture was taken, as a row of blocks above and below it, for the way by WebRTC, which carries no
// number beside a picture. The runner reads it and cuts it off (media/_edge_mark.py) before the pipeline sees the picture.

export const WRAP_MS = 2 ** 20;
/** Narrower pictures have too little room for the blocks. */
export const LEAST_WIDTH = 192;
const VALUE_BITS = 20;
const CHECK_BITS = 5;
/** Rows between a mark and its picture that are like the picture's edge: codecs smooth over borders. */
const GUARD = 4;

/** @returns {number} rows above, and below, a picture of this height */
export function marginOf(height) {
  return Math.max(16, 2 * Math.round(height / 64));
}

/** @returns {boolean[]} from left to right: a one, the value, its check, a zero */
export function bitsOf(valueMs) {
  const value = valueMs % WRAP_MS;
  const check = (value ^ (value >> 5) ^ (value >> 10) ^ (value >> 15) ^ 0b10101) & 0b11111;
  const number = ((1 << VALUE_BITS) | value) * 2 ** CHECK_BITS + check;
  const bits = [];
  for (let shift = VALUE_BITS + CHECK_BITS; shift >= 0; shift -= 1) bits.push(Math.floor(number / 2 ** shift) % 2 === 1);
  return [...bits, false];
}

/** Paint a picture between its two marks; the canvas is higher than the picture by two margins. */
export function paintMarked(context, picture, valueMs) {
  const { width, height } = picture;
  const margin = marginOf(height);
  const bits = bitsOf(valueMs);
  for (const top of [0, margin + height + GUARD]) {
    context.fillStyle = "#000";
    context.fillRect(0, top, width, margin - GUARD);
    context.fillStyle = "#fff";
    bits.forEach((bit, i) => {
      const [left, right] = [i, i + 1].map((edge) => Math.round((edge * width) / bits.length));
      if (bit) context.fillRect(left, top, right - left, margin - GUARD);
    });
  }
  context.drawImage(picture, 0, 0, width, 1, 0, margin - GUARD, width, GUARD);
  context.drawImage(picture, 0, height - 1, width, 1, 0, margin + height, width, GUARD);
  context.drawImage(picture, 0, margin);
}
