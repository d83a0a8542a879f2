// The binary messages of a playground session; docs/playground.md has the layout in words.

export const PROTOCOL = "ai-runner.playground.1";
export const PICTURE = 1;
export const ACKNOWLEDGEMENT = 2;
export const NOTE = 3;
export const WAITING_PICTURE = 1;
const HEADER_BYTES = 16;

/**
 * @param {number} kind PICTURE or ACKNOWLEDGEMENT
 * @param {number} seq the frame's number, 0 when unknown
 * @param {number} timeUs when the input picture was taken, in microseconds of this page's clock
 * @param {ArrayBuffer} [jpeg]
 * @returns {ArrayBuffer}
 */
export function encode(kind, seq, timeUs, jpeg = new ArrayBuffer(0)) {
  const message = new Uint8Array(HEADER_BYTES + jpeg.byteLength);
  const header = new DataView(message.buffer);
  header.setUint8(0, kind);
  header.setUint32(4, seq, true);
  header.setBigInt64(8, BigInt(timeUs), true);
  message.set(new Uint8Array(jpeg), HEADER_BYTES);
  return message.buffer;
}

/** @param {ArrayBuffer} message */
export function decode(message) {
  const header = new DataView(message);
  return {
    kind: header.getUint8(0),
    isWaitingPicture: (header.getUint8(1) & WAITING_PICTURE) !== 0,
    seq: header.getUint32(4, true),
    timeUs: Number(header.getBigInt64(8, true)),
    jpeg: new Uint8Array(message, HEADER_BYTES),
  };
}
