// A look that can be given away: the pipeline and what differs from its defaults, in the page's address or as JSON.

const PIPELINE = "pipeline";

/** @returns {{pipeline: string, params: object}} */
export function fromHash(hash) {
  const entries = [...new URLSearchParams(hash.replace(/^#/, ""))];
  const params = entries.filter(([name]) => name !== PIPELINE).map(([name, text]) => [name, parse(text)]);
  return { pipeline: entries.find(([name]) => name === PIPELINE)?.[1] ?? "", params: Object.fromEntries(params) };
}

/** @returns {string} readable, such as `#pipeline=effects&effect=neon&neon_glow=0.4` */
export function toHash(pipeline, changes) {
  const entries = Object.entries(changes).map(([name, value]) => [name, write(value)]);
  return `#${new URLSearchParams([[PIPELINE, pipeline], ...entries])}`;
}

/** Text is written as it is, unless it would be read as something else. */
function write(value) {
  const text = JSON.stringify(value);
  return typeof value === "string" && parse(value) === value ? value : text;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @throws {Error} with words for a person */
export function fromJson(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}`);
  }
  if (read === null || typeof read !== "object" || Array.isArray(read)) throw new Error("A JSON object is expected");
  const params = read.params && typeof read.params === "object" ? read.params : read;
  return { pipeline: typeof read.pipeline === "string" ? read.pipeline : "", params };
}

export function toJson(pipeline, changes) {
  return JSON.stringify({ pipeline, params: changes }, null, 2);
}
