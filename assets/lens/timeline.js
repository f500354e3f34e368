// Everything on one time axis: frames, picture dropped, sound kept, the sound itself. Drawn once per map; the playhead and the
// band of the current window are elements that move above it.

const TRACKS = Object.entries({ frames: 58, rates: 74, bars: 56, wave: 62, ticks: 12 })
  .map(([name, height]) => ({ name, height, title: WORDS.tracks[name][0], hint: WORDS.tracks[name][1] }));
const GAP = 18;
const AXIS = 24;
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';
const TOKENS_PER_S = 25;
const translated = (text) => window.inWords?.(text) ?? text;  // what is drawn is out of reach of assets/languages/language.js

// Where everything lies, in CSS pixels: a gutter for titles on wide screens, titles above the tracks on narrow ones.
function timelineLayout(width, hasSound) {
  const narrow = width < 820;  // a gutter would take the room that the rows need
  const left = narrow ? 4 : 172;
  const right = narrow ? 4 : 14;
  let y = 6;
  const tracks = {};
  for (const track of TRACKS) {
    if (!hasSound && ["bars", "wave", "ticks"].includes(track.name)) continue;
    const close = track.name === "ticks";
    if (narrow && !close) y += 18;
    tracks[track.name] = { ...track, title: translated(track.title), hint: translated(track.hint), y, close };
    y += track.height + (close || track.name === "wave" ? 6 : narrow ? 8 : GAP);
  }
  return { narrow, left, right, inner: width - left - right, tracks, axis: y, height: y + AXIS };
}

function drawTimeline(context, layout, scene, ink) {
  const { left, inner } = layout;
  const x = (time) => left + (inner * time) / scene.clip.duration;
  titles(context, layout, ink);
  if (layout.tracks.frames) drawFrames(context, layout, scene, ink);
  drawRates(context, layout.tracks.rates, scene, ink, x, layout);
  if (layout.tracks.bars) drawBars(context, layout.tracks.bars, scene, ink, x);
  if (layout.tracks.wave) drawWave(context, layout.tracks, scene, ink, x);
  drawAxis(context, layout, scene, ink, x);
}

function titles(context, layout, ink) {
  for (const track of Object.values(layout.tracks)) {
    if (track.close && layout.narrow) continue;
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    const [x, y] = layout.narrow ? [layout.left, track.y - 6] : [0, track.close ? track.y + 10 : track.y + track.height / 2 - 1];
    context.font = `600 12.5px ${FONT}`;
    context.fillStyle = ink.ink;
    if (!track.close) context.fillText(track.title, x, y);
    context.font = `${track.close ? 11.5 : 11}px ${FONT}`;
    context.fillStyle = ink.soft;
    if (track.close) context.fillText(track.hint, x, y);
    else if (layout.narrow) {
      context.font = `600 12.5px ${FONT}`;
      const after = context.measureText(track.title).width + 8;
      context.font = `11px ${FONT}`;
      context.fillText(track.hint, x + after, y);
    } else context.fillText(track.hint, x, y + 15);
  }
}

// Thumbnails side by side, each of the nearest pictured step to its middle, with that step's patches dimmed on it.
function drawFrames(context, layout, scene, ink) {
  const track = layout.tracks.frames;
  const { thumbs, grid } = scene.clip;
  if (!thumbs || !scene.sheet) return;
  const shape = thumbs.width / thumbs.height;
  const count = Math.max(1, Math.min(grid[0], Math.round(layout.inner / (track.height * shape + 3))));
  const wide = layout.inner / count;
  const cell = { width: Math.min(wide - 3, track.height * shape), height: track.height };
  cell.height = Math.min(track.height, cell.width / shape);
  for (let i = 0; i < count; i++) {
    const time = ((i + 0.5) * scene.clip.duration) / count;
    const wanted = Math.min(grid[0] - 1, Math.floor(time / scene.clip.perStep));
    let at = 0;
    thumbs.steps.forEach((step, k) => { if (Math.abs(step - wanted) < Math.abs(thumbs.steps[at] - wanted)) at = k; });
    const left = Math.round(layout.left + i * wide + (wide - cell.width) / 2);
    const top = Math.round(track.y + (track.height - cell.height) / 2);
    const [width, height] = [Math.round(cell.width), Math.round(cell.height)];
    context.drawImage(scene.sheet, at * thumbs.width, 0, thumbs.width, thumbs.height, left, top, width, height);
    const keys = patchesOf(scene.view, scene.a, scene.b, thumbs.steps[at], grid[1] * grid[2]);
    paintPatches(context, keys, grid[1], grid[2], left, top, width, height, 0.74);
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
  }
}

function windowRate(w) {
  return w.rho !== null ? w.rho : w.video ? 1 - w.videoKept / w.video : null;
}

function drawRates(context, track, scene, ink, x, layout) {
  const y = (rate) => track.y + track.height * (1 - rate);
  context.lineWidth = 1;
  context.font = `10.5px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const rate of [0, 0.5, 1]) {
    context.strokeStyle = ink.line;
    line(context, [[layout.left, Math.round(y(rate)) + 0.5], [layout.left + layout.inner, Math.round(y(rate)) + 0.5]]);
    if (layout.narrow) continue;
    context.textAlign = "right";
    context.fillStyle = ink.soft;
    context.fillText(`${100 * rate} %`, layout.left - 7, y(rate));
  }
  const curves = scene.b ? [[scene.b, ink.b], [scene.a, ink.a]] : [[scene.a, ink.picture]];
  for (const [map, colour] of curves) {
    if (map.budget !== null) {
      context.setLineDash([5, 4]);
      context.strokeStyle = colour;
      context.globalAlpha = 0.75;
      line(context, [[layout.left, y(map.budget)], [layout.left + layout.inner, y(map.budget)]]);
      context.setLineDash([]);
      context.globalAlpha = 1;
    }
    context.fillStyle = context.strokeStyle = colour;
    let path = [];
    for (const w of [...map.windows, null]) {
      const rate = w && windowRate(w);
      if (rate === null) {
        if (path.length) {
          context.globalAlpha = 0.1;
          context.beginPath();
          context.moveTo(path[0][0], y(0));
          path.forEach((point) => context.lineTo(...point));
          context.lineTo(path[path.length - 1][0], y(0));
          context.fill();
          context.globalAlpha = 1;
          context.lineWidth = 2.25;
          context.lineJoin = "round";
          line(context, path);
          context.lineWidth = 1;
        }
        path = [];
      } else path.push([x(w.start), y(rate)], [x(Math.min(w.end, scene.clip.duration)), y(rate)]);
    }
  }
  const budgets = curves.map(([map, colour]) => [map.budget, colour]).filter(([budget]) => budget !== null);
  context.textAlign = "right";
  for (const [budget, colour] of budgets) {
    const text = `${Math.round(100 * budget)} %`;
    const wide = context.measureText(text).width + 8;
    context.fillStyle = ink.panel;
    context.globalAlpha = 0.85;
    context.fillRect(layout.left + layout.inner - wide, y(budget) - 8, wide, 16);
    context.globalAlpha = 1;
    context.fillStyle = colour;
    context.fillText(text, layout.left + layout.inner - 4, y(budget) + 0.5);
  }
}

// Per window the share of its sound kept: solid for what was heard as important, light for the anchors among it.
function drawBars(context, track, scene, ink, x) {
  const maps = scene.b ? [[scene.a, ink.a], [scene.b, ink.b]] : [[scene.a, ink.sound]];
  context.strokeStyle = ink.line;
  for (const level of [0, 1]) {
    const y = Math.round(track.y + track.height * level) + 0.5;
    line(context, [[x(0), y], [x(scene.clip.duration), y]]);
  }
  maps.forEach(([map, colour], place) => {
    for (const w of map.windows) {
      if (!w.audio) continue;
      const span = x(Math.min(w.end, scene.clip.duration)) - x(w.start);
      const wide = (span * 0.84) / maps.length;
      const left = x(w.start) + span * 0.08 + place * wide;
      const kept = w.audioKept / w.audio;
      const important = w.sa === null ? kept : Math.min(kept, w.sa);
      context.fillStyle = colour;
      context.globalAlpha = 0.4;
      context.fillRect(left, track.y + track.height * (1 - kept), wide - 0.5, track.height * (kept - important));
      context.globalAlpha = 0.92;
      context.fillRect(left, track.y + track.height * (1 - important), wide - 0.5, track.height * important);
      context.globalAlpha = 1;
    }
  });
}

// The sound, each of its tokens coloured by the attention it receives; below, a mark under every token that is kept.
function drawWave(context, tracks, scene, ink, x) {
  const { wave, ticks } = tracks;
  const { clip, a } = scene;
  const middle = wave.y + wave.height / 2;
  const n = scene.wave.length;
  const wide = Math.max(1, (x(clip.sound) - x(0)) / n);
  for (let i = 0; i < n; i++) {
    const time = ((i + 0.5) * clip.sound) / n;
    const token = Math.min(a.audioKeep.length - 1, Math.floor(time * TOKENS_PER_S));
    const rank = a.saliency && token >= 0 ? a.saliency[token] / 255 : 0.5;
    const high = Math.max(1, (scene.wave[i] / 255) * wave.height);
    context.fillStyle = ink.ramp(rank);
    context.fillRect(x(time) - wide / 2, middle - high / 2, wide + 0.3, high);
  }
  const rows = scene.b ? [[a, ink.a], [scene.b, ink.b]] : [[a, ink.sound]];
  const tall = (ticks.height - (rows.length - 1) * 2) / rows.length;
  context.fillStyle = ink.line;
  rows.forEach(([map, colour], row) => {
    const y = ticks.y + row * (tall + 2);
    context.fillStyle = ink.line;
    context.fillRect(x(0), y + tall - 1, x(clip.sound) - x(0), 1);
    context.fillStyle = colour;
    for (let token = 0; token < map.audioKeep.length; token++) {
      if (!map.audioKeep[token]) continue;
      const from = x(token / TOKENS_PER_S);
      const until = Math.max(from + 0.8, x((token + 1) / TOKENS_PER_S) - 0.2);
      context.globalAlpha = REASONS[map.audioReason[token]] === "anchor" ? 0.45 : 1;
      context.fillRect(from, y, until - from, tall);
    }
    context.globalAlpha = 1;
  });
}

function drawAxis(context, layout, scene, ink, x) {
  const { duration } = scene.clip;
  const room = layout.inner / 56;
  const step = [0.5, 1, 2, 4, 5, 10, 20, 30, 60, 120].find((s) => duration / s <= room) || 300;
  context.font = `11px ${FONT}`;
  context.fillStyle = ink.soft;
  context.strokeStyle = ink.line;
  context.textBaseline = "top";
  for (let time = 0; time <= duration + 1e-6; time += step) {
    line(context, [[x(time), layout.axis], [x(time), layout.axis + 5]]);
    context.textAlign = time === 0 ? "left" : x(time) > x(duration) - 16 ? "right" : "center";
    context.fillText(time === 0 ? "0 s" : clock(time, step < 1), x(time), layout.axis + 8);
  }
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function clock(seconds, tenths = false) {
  const minutes = Math.floor(seconds / 60);
  const rest = tenths ? (seconds % 60).toFixed(1) : String(Math.floor((seconds % 60) + 1e-6));
  return minutes ? `${minutes}:${rest.padStart(tenths ? 4 : 2, "0")}` : `${rest} s`;
}
