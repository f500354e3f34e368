// The veil over the playing picture: one colour per patch of the current step. A patch's edges are the picture's width and
// height divided evenly and rounded, so patches meet without gaps and cover the picture exactly.

// Okabe and Ito's colours, apart for every kind of colour vision; A, B and both differ in lightness too.
const TINTS = {
  both: [255, 255, 255, 0.3],
  a: [0, 114, 178, 0.62],
  b: [213, 94, 0, 0.62],
  "density peak": [0, 114, 178, 0.5],
  change: [240, 228, 66, 0.5],
  "method score": [0, 158, 115, 0.5],
  absorbed: [204, 121, 167, 0.62],
  folded: [204, 121, 167, 0.24],
  unseen: [92, 16, 24, 0.86],
};
const NIGHT = [8, 11, 16];

// One key per patch of `step`: "clear", "dim", or a name of TINTS. What was never encoded is
// darker than what was dropped, and red, in the view of reasons.
function patchesOf(view, a, b, step, perStep) {
  const first = step * perStep;
  const keys = new Array(perStep);
  for (let i = 0; i < perStep; i++) {
    const at = first + i;
    const kept = a.keep[at] === 1;
    if (view === "dropped") keys[i] = kept ? "dim" : "clear";
    else if (view === "versus" && b) {
      const other = b.keep[at] === 1;
      keys[i] = kept && other ? "both" : kept ? "a" : other ? "b" : "dim";
    } else if (view === "reason") keys[i] = kept ? REASONS[a.reason[at]] : a.reason[at] === FOLDED ? "folded" : a.reason[at] === UNSEEN ? "unseen" : "dim";
    else if (view === "folded") keys[i] = kept ? (a.absorbed[at] ? "absorbed" : "clear") : a.reason[at] === FOLDED ? "folded" : "dim";
    else keys[i] = kept ? "clear" : "dim";
  }
  return keys;
}

function edges(length, parts) {
  return Array.from({ length: parts + 1 }, (_, i) => Math.round((i * length) / parts));
}

function paintPatches(context, keys, rows, columns, x, y, width, height, dimming) {
  const across = edges(width, columns);
  const down = edges(height, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const key = keys[row * columns + column];
      if (key === "clear") continue;
      const [red, green, blue, alpha] = key === "dim" ? [...NIGHT, dimming] : TINTS[key];
      context.fillStyle = `rgba(${red},${green},${blue},${alpha})`;
      context.fillRect(x + across[column], y + down[row], across[column + 1] - across[column], down[row + 1] - down[row]);
    }
  }
}

// How many tokens a survivor absorbed, written on its patch.
function paintCounts(context, counts, first, rows, columns, width, height) {
  const across = edges(width, columns);
  const down = edges(height, rows);
  const size = Math.max(8, Math.min(height / rows, width / columns) * 0.36);
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = "#fff";
  for (let i = 0; i < rows * columns; i++) {
    const n = counts[first + i];
    if (!n) continue;
    const [row, column] = [Math.floor(i / columns), i % columns];
    context.fillText(`+${n}`, (across[column] + across[column + 1]) / 2, (down[row] + down[row + 1]) / 2);
  }
}

// Where a picture of the given shape lies within a box that shows it whole, as `object-fit: contain` does.
function fitted(boxWidth, boxHeight, width, height) {
  const scale = Math.min(boxWidth / width, boxHeight / height);
  const [wide, high] = [width * scale, height * scale];
  return { x: (boxWidth - wide) / 2, y: (boxHeight - high) / 2, width: wide, height: high };
}
