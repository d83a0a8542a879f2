// The built-in clip: balloons over hills at dusk. Drawn by the page, so it needs no camera, no file and no network.

const SKY = ["#243b6b", "#6a5b9a", "#e08a7d", "#fbd08a"];
const HILLS = [
  { color: "#8f6f9c", base: 0.62, height: 0.1, speed: 0.008, waves: [2, 5], seed: 0.3 },
  { color: "#5d5083", base: 0.71, height: 0.11, speed: 0.018, waves: [3, 7], seed: 2.1 },
  { color: "#33365f", base: 0.82, height: 0.09, speed: 0.04, waves: [2, 9], seed: 4.4 },
  { color: "#171c3a", base: 0.93, height: 0.06, speed: 0.085, waves: [4, 11], seed: 1.2 },
];
const BALLOONS = [
  { x: 0.3, y: 0.36, size: 0.15, drift: 0.011, colors: ["#f4503b", "#fff3d6", "#f9a826"] },
  { x: 0.74, y: 0.24, size: 0.09, drift: 0.007, colors: ["#1fa39a", "#fff3d6", "#0c6f86"] },
  { x: 0.55, y: 0.53, size: 0.055, drift: 0.005, colors: ["#f9c440", "#e0563f", "#fff3d6"] },
];
const GORES = 7;
const BIRDS = 6;

export class Scene {
  #backdrop = null;

  /** @param {number} timeS */
  paint(context, width, height, timeS) {
    if (this.#backdrop?.width !== width || this.#backdrop?.height !== height) {
      this.#backdrop = paintBackdrop(width, height);
    }
    context.drawImage(this.#backdrop, 0, 0);
    paintBirds(context, width, height, timeS);
    HILLS.forEach((hill, i) => {
      if (i === 2) BALLOONS.slice(1).forEach((balloon) => paintBalloon(context, width, height, balloon, timeS));
      paintHill(context, width, height, hill, timeS);
    });
    paintBalloon(context, width, height, BALLOONS[0], timeS);
  }
}

function paintBackdrop(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { alpha: false });
  const sky = context.createLinearGradient(0, 0, 0, height * 0.75);
  SKY.forEach((color, i) => sky.addColorStop(i / (SKY.length - 1), color));
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);
  const [x, y, r] = [width * 0.62, height * 0.55, Math.min(width, height) * 0.11];
  const glow = context.createRadialGradient(x, y, r * 0.5, x, y, r * 4);
  glow.addColorStop(0, "rgb(255 236 190 / 0.9)");
  glow.addColorStop(1, "rgb(255 200 130 / 0)");
  context.fillStyle = glow;
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff1cf";
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.fill();
  return canvas;
}

function paintHill(context, width, height, hill, timeS) {
  const shift = timeS * hill.speed * 2 * Math.PI;
  context.fillStyle = hill.color;
  context.beginPath();
  context.moveTo(0, height);
  for (let x = 0; x <= width + 8; x += 8) {
    const u = (x / width) * 2 * Math.PI;
    const rise = hill.waves.reduce((sum, wave, i) => sum + Math.sin((u * wave) / 2.5 + shift * wave + hill.seed) / (i + 1), 0);
    context.lineTo(x, height * (hill.base - hill.height * 0.5 * rise));
  }
  context.lineTo(width + 8, height);
  context.fill();
}

function paintBalloon(context, width, height, balloon, timeS) {
  const size = balloon.size * Math.min(width, height);
  const across = 1 + 4 * balloon.size;
  const x = (((balloon.x + timeS * balloon.drift) % across) - 2 * balloon.size) * width;
  const y = (balloon.y + 0.018 * Math.sin(timeS * 0.7 + balloon.x * 9)) * height;
  const sway = 0.05 * Math.sin(timeS * 0.5 + balloon.y * 7);
  context.save();
  context.translate(x, y);
  context.rotate(sway);
  paintRopes(context, size);
  paintEnvelope(context, size, balloon.colors, timeS);
  context.restore();
}

function envelope(context, size, squeeze) {
  const w = size * squeeze;
  context.beginPath();
  context.moveTo(0, -size);
  context.bezierCurveTo(w * 0.75, -size, w, -size * 0.55, w, -size * 0.1);
  context.bezierCurveTo(w, size * 0.45, w * 0.4, size * 0.75, w * 0.22, size);
  context.lineTo(-w * 0.22, size);
  context.bezierCurveTo(-w * 0.4, size * 0.75, -w, size * 0.45, -w, -size * 0.1);
  context.bezierCurveTo(-w, -size * 0.55, -w * 0.75, -size, 0, -size);
}

function paintEnvelope(context, size, colors, timeS) {
  for (let i = 0; i < GORES; i += 1) {
    context.fillStyle = colors[i % colors.length];
    envelope(context, size, Math.cos((i / GORES) * (Math.PI / 2)) * 0.95);
    context.fill();
  }
  const flicker = 0.5 + 0.5 * Math.sin(timeS * 3 + size);
  context.fillStyle = `rgb(255 214 120 / ${0.15 + 0.2 * flicker})`;
  envelope(context, size, 0.95);
  context.fill();
}

function paintRopes(context, size) {
  context.strokeStyle = "#2a2233";
  context.lineWidth = Math.max(1, size * 0.03);
  context.beginPath();
  for (const side of [-1, 1]) {
    context.moveTo(side * size * 0.2, size * 0.98);
    context.lineTo(side * size * 0.13, size * 1.32);
  }
  context.stroke();
  context.fillStyle = "#6b3f2a";
  context.fillRect(-size * 0.15, size * 1.3, size * 0.3, size * 0.24);
}

function paintBirds(context, width, height, timeS) {
  const span = Math.min(width, height) * 0.022;
  context.strokeStyle = "#2b2a4a";
  context.lineWidth = Math.max(1.2, span * 0.16);
  context.lineCap = "round";
  context.beginPath();
  for (let i = 0; i < BIRDS; i += 1) {
    const x = ((timeS * 0.035 + i * 0.045 + (i % 2) * 0.02) % 1.3) * width - 0.1 * width;
    const y = (0.17 + 0.02 * ((i * 5) % 4) + 0.008 * Math.sin(timeS * 1.1 + i)) * height;
    const flap = Math.sin(timeS * 7 + i * 1.7) * span * 0.6;
    context.moveTo(x - span, y - flap);
    context.quadraticCurveTo(x - span * 0.4, y - span * 0.5, x, y);
    context.quadraticCurveTo(x + span * 0.4, y - span * 0.5, x + span, y - flap);
  }
  context.stroke();
}
