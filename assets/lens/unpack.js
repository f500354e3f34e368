// What omnizip/report/packed.py packed -> typed arrays. Bits are least significant first, numbers 32-bit little-endian, all in base64.

const REASONS = ["text", "salient", "anchor", "density peak", "change", "method score", "folded", "dropped", "unseen"];
const FOLDED = 6;
const DROPPED = 7;
const UNSEEN = 8;

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

function bitsOf(text, length) {
  const bytes = bytesOf(text);
  const bits = new Uint8Array(length);
  for (let i = 0; i < length; i++) bits[i] = (bytes[i >> 3] >> (i & 7)) & 1;
  return bits;
}

function planesOf(texts, length) {
  const values = new Uint8Array(length);
  texts.forEach((text, plane) => bitsOf(text, length).forEach((bit, i) => { values[i] |= bit << plane; }));
  return values;
}

function numbersOf(text) {
  return new Uint32Array(bytesOf(text).buffer);
}

// Per survivor, how many tokens it absorbed.
function absorbedOf(into, length) {
  const counts = new Uint16Array(length);
  for (const survivor of numbersOf(into)) counts[survivor]++;
  return counts;
}

function unpackMap(packed) {
  const [video, audio] = [packed.video, packed.audio];
  const reason = planesOf(video.reason, video.tokens);
  const names = packed.window_fields;
  return {
    label: packed.label,
    keep: bitsOf(video.keep, video.tokens),
    reason,
    drops: reason.includes(DROPPED),
    unseen: reason.includes(UNSEEN),  // chosen before the encoder: some patches were never looked at
    absorbed: absorbedOf(video.into, video.tokens),
    folds: numbersOf(video.into).length,
    audioKeep: bitsOf(audio.keep, audio.tokens),
    audioReason: planesOf(audio.reason, audio.tokens),
    audioAbsorbed: absorbedOf(audio.into, audio.tokens),
    saliency: audio.saliency ? bytesOf(audio.saliency) : null,
    stepWindow: packed.step_window,
    windows: packed.windows.map((row) => Object.fromEntries(row.map((value, i) => [names[i], value]))),
    budget: packed.budget,
    share: packed.share,
  };
}
