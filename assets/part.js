// Start, end and sound of the clip. `element` holds the strip of ui/part_strip.py; `props.value` keeps the choice, `props.offer` what
// the server found in the file.

const strip = element.querySelector(".oz-cut");
const range = { start: strip.querySelector(".oz-cut-start"), end: strip.querySelector(".oz-cut-end") };
const typed = { start: strip.querySelector("[data-at=start]"), end: strip.querySelector("[data-at=end]") };
const line = strip.querySelector(".oz-cut-line");
const sound = strip.querySelector(".oz-cut-sound");
const MAIN = "main";
const LEAST_S = 0.1;  // a part lasts, and the step of a short clip's handles
let [file, duration, start, end, track] = ["", 0, 0, 0, MAIN];

const fileOf = (address) => { try { return decodeURIComponent(new URL(address, location.href).pathname.split("/").pop()); } catch { return ""; } };
const written = (s) => {
  const [minutes, seconds] = [Math.floor(Math.round(10 * s) / 600), Math.round(10 * s) % 600 / 10];
  return `${minutes}:${String(seconds.toFixed(seconds % 1 ? 1 : 0)).padStart(seconds % 1 ? 4 : 2, "0")}`;
};
const secondsOf = (text) => {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || !parts.every((part) => /^\d+(\.\d+)?$/.test(part))) return null;
  return parts.reduce((sum, part) => 60 * sum + Number(part), 0);
};
const chosen = () => {
  try {
    const value = JSON.parse(props.value || "{}");
    return value.file === file ? value : {};
  } catch { return {}; }
};

function draw() {
  strip.hidden = !(file && (duration || sound.options.length));
  line.hidden = typed.start.hidden = typed.end.hidden = !duration;
  const step = Math.max(LEAST_S, Math.round(duration / 1000));
  for (const [name, at] of [["start", start], ["end", end || duration]]) {
    Object.assign(range[name], { max: duration, step, value: at });
    range[name].setAttribute("aria-valuetext", written(at));
    if (document.activeElement !== typed[name]) typed[name].value = written(at);
    typed[name].removeAttribute("aria-invalid");
  }
  line.style.setProperty("--from", `${duration ? 100 * start / duration : 0}%`);
  line.style.setProperty("--to", `${duration ? 100 * (end || duration) / duration : 100}%`);
  sound.value = track;
  const told = file && duration ? { start, end: end || duration, duration } : null;
  document.dispatchEvent(new CustomEvent("oz-part", { detail: told }));  // to the lens, whose time axis has handles for it, too
}

function keep() {
  const value = { file };
  if (start) value.start = start;
  if (end) value.end = end;
  if (track !== MAIN) value.audio_track = track;
  const text = Object.keys(value).length > 1 ? JSON.stringify(value) : "";
  if (text !== (props.value || "")) props.value = text;
  draw();
}

function set(name, seconds) {
  const at = Math.round(Math.min(duration, Math.max(0, seconds)) * 1000) / 1000;
  if (name === "start") start = Math.max(0, Math.min(at, (end || duration) - LEAST_S));
  else end = at >= duration ? 0 : Math.max(at, start + LEAST_S);
  keep();
}

for (const name of ["start", "end"]) {
  range[name].addEventListener("input", () => {
    set(name, Number(range[name].value));
    const film = document.querySelector("#clip video");
    if (film && film.readyState) film.currentTime = name === "start" ? start : end || duration;  // what is cut is what is seen
  });
  const read = () => {
    const at = secondsOf(typed[name].value);
    if (at === null) typed[name].setAttribute("aria-invalid", "true");
    else { typed[name].blur(); set(name, at); }
  };
  typed[name].addEventListener("change", read);
  typed[name].addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); read(); } });
}
sound.addEventListener("change", () => { track = sound.value; keep(); });

const languages = typeof Intl.DisplayNames === "function" ? new Intl.DisplayNames([document.documentElement.lang || "en"], { type: "language", fallback: "none" }) : null;
const named = (title) => {  // "ger Kommentar" -> "German, Kommentar"
  const [first, ...rest] = title.split(" ");
  if (!/^[a-z]{2,3}$/.test(first)) return title;
  try { return [languages?.of(first) ?? first, rest.join(" ")].filter(Boolean).join(", "); } catch { return title; }
};

function offered() {
  const offer = props.offer;
  const sounds = offer?.file === file ? offer.sounds ?? [] : [];
  const { with: one, without, main, track: numbered } = sound.dataset;
  const options = sounds.length > 1
    ? [[MAIN, main], ...sounds.map((title, i) => [String(i + 1), [numbered.replace("{n}", i + 1), named(title)].filter(Boolean).join(": ")]), ["none", without]]
    : sounds.length ? [[MAIN, one], ["none", without]] : [];
  sound.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  sound.hidden = !options.length;
  if (offer?.file === file && offer.duration && !duration) duration = offer.duration;
}

// The choice is the clip's: another clip begins without one, save for a link that brings both.
function begin() {
  const value = chosen();
  [start, end, track] = [value.start ?? 0, value.end ?? 0, value.audio_track ?? MAIN];
  offered();
  draw();
}

function look() {
  const film = document.querySelector("#clip video");
  const source = film?.getAttribute("src") ?? "";
  if (fileOf(source) === file && (source || !file)) return;
  [file, duration] = [source && !source.startsWith("blob:") ? fileOf(source) : "", 0];
  begin();
  if (!file) return;
  const known = () => {
    if (film.getAttribute("src") !== source || !Number.isFinite(film.duration)) return;
    duration = film.duration;
    draw();
  };
  if (film.readyState) known();
  film.addEventListener("loadedmetadata", known);
}

// What the lens wishes; without a wish, it asks what is chosen.
document.addEventListener("oz-part-wish", ({ detail }) => {
  if (!strip.isConnected) return;
  if (detail && duration) set(detail.name, detail.seconds);
  else draw();
});

watch("offer", begin);
watch("value", begin);
new MutationObserver(look).observe(document.querySelector("#clip") ?? document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
look();
