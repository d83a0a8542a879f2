// One line that says what is going on, in words for a person. Pure: from facts to words.

const QUIET_MS = 2000;

/**
 * @typedef {object} Facts
 * @property {string} pipeline
 * @property {string} source the label of the picture's source
 * @property {boolean} connected
 * @property {boolean} measuring the runner finds out which pipeline this machine is fast enough for
 * @property {boolean} watching another one's stream, about whose worker nothing is told
 * @property {object | null} status the runner's last status message
 * @property {number} sinceResultMs
 * @property {number} sinceFrameMs since the source had a picture
 * @property {number} loadingMs how long the worker has not been ready
 * @property {string} nextPipeline the one that is being switched to, or ""
 */

/** @param {Facts} facts @returns {{tone: "live" | "busy" | "warn" | "error", words: string}} */
export function describe(facts) {
  const { pipeline, status } = facts;
  if (!facts.connected && facts.measuring) return { tone: "busy", words: "Measuring this machine…" };
  if (!facts.connected || !status) return { tone: "busy", words: "Connecting…" };
  if (facts.nextPipeline) return { tone: "busy", words: `Switching to ${facts.nextPipeline}…` };
  if (facts.watching) return describeWatched(facts);
  const seconds = Math.round(facts.loadingMs / 1000);
  const since = seconds > 1 ? ` ${seconds} s` : "";
  switch (status.worker.state) {
    case "starting":
    case "loading":
      if (status.worker.restarts) return { tone: "warn", words: `Restarted: loading ${pipeline} again…${since}` };
      return { tone: "busy", words: `Loading ${pipeline}…${since}` };
    case "reloading":
      return { tone: "busy", words: `${pipeline} reloads with the new parameters…${since}` };
    case "restarting":
      return { tone: "warn", words: `The worker went away: ${status.worker.error}. A new one is starting` };
    case "failed":
      return { tone: "error", words: `${pipeline} gave up: ${status.worker.error}` };
  }
  return describeReady(facts);
}

function describeWatched({ pipeline, status, sinceResultMs }) {
  if (sinceResultMs <= QUIET_MS) return { tone: "live", words: `Watching ${pipeline}` };
  const words = { LOADING: `Loading ${pipeline}…`, DEGRADED_INPUT: "The stream gets no pictures just now" };
  return { tone: "busy", words: words[status.stream.state] ?? "Waiting for a picture…" };
}

function describeReady({ pipeline, source, status, sinceResultMs, sinceFrameMs }) {
  const inference = status.stream.report.inference_status;
  const errorMs = inference.last_error_time ? Date.now() - inference.last_error_time : Infinity;
  if (sinceFrameMs > QUIET_MS) return { tone: "busy", words: `Waiting for pictures from ${source}` };
  if (errorMs < 10_000) return { tone: "warn", words: `${pipeline} reported: ${inference.last_error}` };
  if (sinceResultMs > QUIET_MS) return { tone: "busy", words: `Waiting for ${pipeline}` };
  return { tone: "live", words: "Live" };
}
