// The figures under the picture: how long a frame takes and where, how many come and go, and what was lost why.

const STAGES = [
  ["page encode", "JPEG or H.264 in this browser"],
  ["wire", "network, queues and event loops on both sides"],
  ["decode", "JPEG to picture, in the runner; that of H.264 belongs to the wire"],
  ["fit", "scaling into shared memory"],
  ["wait", "until the worker took it"],
  ["infer", "the pipeline's own work"],
  ["return", "from worker to runner"],
  ["encode", "picture to JPEG or H.264, in the runner"],
  ["page draw", "decoding and drawing in this page"],
];
const SERVER_STAGES = ["decode", "fit", "wait", "infer", "return", "encode"];

const DROPS = [
  ["page ahead", (lane) => lane.skipped, "not sent: the way to the runner was full"],
  ["runner behind", (_, s) => s.source.replaced ?? 0, "a newer picture came before it was decoded"],
  ["pipeline busy", (_, s) => s.frames.replaced + s.frames.no_slot, "a newer picture came before the worker was free"],
  ["no answer", (_, s) => s.frames.unanswered, "the pipeline raised, or gave nothing"],
  ["lost in a restart", (_, s) => s.frames.lost, "the worker went away with it"],
  ["late", (_, s) => s.frames.late, "out of order"],
  ["page behind", (_, s, view) => (s.sink.replaced ?? 0) + view.undrawn, "a newer result came before it could be shown"],
  ["invalid", (_, s) => s.source.invalid ?? 0, "not a picture"],
];

export class Numbers {
  #root;
  #curve;

  constructor(root) {
    this.#root = root;
    this.#curve = root.querySelector("canvas");
    const bar = root.querySelector(".waterfall .bar");
    const legend = root.querySelector(".waterfall .legend");
    STAGES.forEach(([name, title], i) => {
      bar.append(Object.assign(document.createElement("i"), { className: `stage-${i}`, title }));
      legend.append(Object.assign(document.createElement("li"), { className: `stage-${i}`, title }));
      legend.lastChild.append(Object.assign(document.createElement("span"), { textContent: name }), document.createElement("b"));
    });
  }

  /** @param {import("./lane.js").Lane | null} lane */
  show(lane, view) {
    const nowMs = performance.now();
    const p50 = lane?.latencyMs.quantile(0.5) ?? null;
    this.#set("latency", figure(p50));
    this.#set("latency-p95", p50 === null ? "" : `p95 ${figure(lane.latencyMs.quantile(0.95))} ms`);
    const { status } = lane ?? {};
    this.#set("fps-in", figure(status ? lane.sent.perSecond(nowMs) : null));
    this.#set("fps-out", figure(status ? lane.drawn.perSecond(nowMs) : null));
    const drops = status ? DROPS.map(([name, count, title]) => [name, count(lane, status.stream, view), title]) : [];
    this.#set("drops", status ? String(drops.reduce((sum, [, count]) => sum + count, 0)) : "–");
    this.#showDrops(drops.filter(([, count]) => count > 0), status ? "every frame came back" : "\u00a0");
    this.#set("restarts", status?.worker ? String(status.worker.restarts) : "–");
    this.#set("memory", memory(status?.worker?.memory_bytes));
    this.#showStages(lane, p50);
    this.#drawCurve(lane);
  }

  #set(name, text) {
    const node = this.#root.querySelector(`[data-figure="${name}"]`);
    if (node.textContent !== text) node.textContent = text;
  }

  #showDrops(drops, otherwise) {
    const list = this.#root.querySelector(".drops");
    const items = drops.map(([name, count, title]) =>
      Object.assign(document.createElement("li"), { textContent: `${name} ${count}`, title }),
    );
    if (!items.length) items.push(Object.assign(document.createElement("li"), { textContent: otherwise }));
    list.replaceChildren(...items);
  }

  #showStages(lane, p50) {
    const stages = lane?.status?.stream.stages;
    const server = SERVER_STAGES.map((name) => stages?.[name]?.p50_ms ?? 0);
    const encode = lane?.encodeMs.quantile(0.5) ?? 0;
    const draw = lane?.drawMs.quantile(0.5) ?? 0;
    const known = encode + draw + server.reduce((sum, ms) => sum + ms, 0);
    const values = [encode, Math.max(0, (p50 ?? known) - known), ...server, draw];
    const total = Math.max(1e-9, values.reduce((sum, ms) => sum + ms, 0));
    const bars = this.#root.querySelectorAll(".waterfall .bar i");
    const figures = this.#root.querySelectorAll(".waterfall .legend b");
    values.forEach((ms, i) => {
      bars[i].style.flexGrow = String(ms / total);
      figures[i].textContent = p50 === null ? "–" : ms.toFixed(1);
    });
  }

  #drawCurve(lane) {
    const canvas = this.#curve;
    const [width, height] = [canvas.clientWidth * devicePixelRatio, canvas.clientHeight * devicePixelRatio];
    if (canvas.width !== Math.round(width)) [canvas.width, canvas.height] = [Math.round(width), Math.round(height)];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    const values = lane?.latencyMs.ordered() ?? [];
    if (values.length < 2) return;
    const top = Math.max(20, lane.latencyMs.quantile(0.9) * 1.6);
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 1.5 * devicePixelRatio;
    context.lineJoin = "round";
    context.beginPath();
    values.forEach((ms, i) => {
      const x = canvas.width * (1 - (values.length - 1 - i) / (lane.latencyMs.size - 1));
      context.lineTo(x, canvas.height * (1 - Math.min(1, ms / top)) * 0.94 + 1);
    });
    context.stroke();
  }
}

function figure(value) {
  if (value === null) return "–";
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}

function memory(bytes) {
  if (!bytes) return "–";
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
