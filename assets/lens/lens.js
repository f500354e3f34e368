// The lens: a clip that plays under a veil of what was dropped, and everything about it on one time axis below.
// mountLens(element, { urlOf, choose, view, time, part }) -> { setClip, setMaps, setLink, setPart }; element holds lens.html, WORDS its
// words. `part`, where what is read next can be chosen, is { set(name, seconds), compare() }; its seconds are those of the file.

const SWATCH = (key) => (key === "clear" ? "" : key === "dim" ? "rgb(8,11,16)" : `rgb(${TINTS[key].slice(0, 3).join(",")})`);

// "{n} of {all}" with the values put in.
function filled(text, values) {
  return text.replace(/[{](\w+)[}]/g, (_, name) => values[name]);
}

function mountLens(element, options = {}) {
  const find = (name) => element.querySelector(`.lens-${name}`);
  const [video, veil, tracks, timeline] = [find("video"), find("veil"), find("tracks"), find("time")];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { clip: null, maps: [], a: 0, b: -1, view: "kept", dim: 0.8, sheet: null, wave: new Uint8Array(0), drawn: "", begun: false, opened: false, part: null };

  const a = () => state.maps[state.a];
  const b = () => state.maps[state.b] || null;
  const ready = () => state.clip && a();
  const stepAt = (time) => Math.max(0, Math.min(state.clip.grid[0] - 1, Math.floor(time / state.clip.perStep + 1e-6)));
  const windowAt = (time) => Math.max(0, Math.min(a().windows.length - 1, a().windows.findLastIndex((w) => w.start <= time + 1e-6)));

  // ---- the picture

  function placeVeil() {
    const stage = find("stage").getBoundingClientRect();
    if (!video.videoWidth || !stage.width) return false;
    const box = fitted(stage.width, stage.height, video.videoWidth, video.videoHeight);
    const dense = Math.min(2, devicePixelRatio || 1);
    Object.assign(veil.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` });
    const [width, height] = [Math.round(box.width * dense), Math.round(box.height * dense)];
    if (veil.width !== width || veil.height !== height) Object.assign(veil, { width, height });
    return true;
  }

  function drawVeil() {
    if (!ready() || !state.clip.grid[0] || !veil.width) return;
    const [, rows, columns] = state.clip.grid;
    const step = stepAt(video.currentTime);
    const context = veil.getContext("2d", { willReadFrequently: true });
    context.clearRect(0, 0, veil.width, veil.height);
    const keys = patchesOf(state.view, a(), b(), step, rows * columns);
    paintPatches(context, keys, rows, columns, 0, 0, veil.width, veil.height, state.dim);
    if (state.view === "folded") paintCounts(context, a().absorbed, step * rows * columns, rows, columns, veil.width, veil.height);
    element.dataset.step = step;
  }

  // ---- the time axis

  let layout = null;

  function drawTracks() {
    if (!ready()) return;
    const width = timeline.clientWidth;
    if (!width) return;
    layout = timelineLayout(width, state.clip.sound > 0 && a().audioKeep.length > 0);
    const dense = Math.min(2, devicePixelRatio || 1);
    Object.assign(tracks, { width: Math.round(width * dense), height: Math.round(layout.height * dense) });
    tracks.style.height = `${layout.height}px`;
    const context = tracks.getContext("2d");
    context.scale(dense, dense);
    drawTimeline(context, layout, { ...state, a: a(), b: b() }, inks());
    showPart();
  }

  function inks() {
    const style = getComputedStyle(element.querySelector(".lens"));
    const colour = (name) => style.getPropertyValue(`--lens-${name}`).trim();
    const [low, high] = [colour("quiet"), colour("loud")].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    const ramp = (share) => `rgb(${low.map((from, i) => Math.round(from + (high[i] - from) * share)).join(",")})`;
    const named = ["ink", "soft", "line", "panel", "picture", "sound", "a", "b"];
    return { ...Object.fromEntries(named.map((name) => [name, colour(name)])), ramp };
  }

  const xOf = (time) => layout.left + (layout.inner * time) / state.clip.duration;

  function timeOf(clientX) {
    const share = (clientX - timeline.getBoundingClientRect().left - layout.left) / layout.inner;
    return Math.max(0, Math.min(1, share)) * state.clip.duration;
  }

  // ---- now

  let last = { window: -1, step: -1 };
  let unplayable = false;

  function showNow(force = false) {
    if (!ready() || !layout) return;
    const time = video.currentTime;
    const [step, window_] = [stepAt(time), windowAt(time)];
    element.querySelector(".lens").classList.toggle("lens-begun", state.begun);
    find("head").style.transform = `translateX(${xOf(Math.min(time, state.clip.duration))}px)`;
    find("clock").textContent = filled(WORDS.clock, { now: clock(time, true), end: clock(state.clip.duration, true) });
    if (force || step !== last.step) drawVeil();
    if (force || window_ !== last.window) showWindow(window_);
    if (video.paused) timeline.setAttribute("aria-valuenow", time.toFixed(1));
    last = { window: window_, step };
  }

  function showWindow(index) {
    const w = a().windows[index];
    const end = Math.min(w.end, state.clip.duration);
    Object.assign(find("band").style, { left: `${xOf(w.start)}px`, width: `${Math.max(2, xOf(end) - xOf(w.start))}px`, height: `${layout.axis}px` });
    find("window").textContent = filled(WORDS.window, { n: index + 1 });
    find("span").textContent = filled(WORDS.of_windows, { span: spanOf(w), count: a().windows.length });
    find("facts").innerHTML = factsOf(index);
    if (video.paused) announce(index);  // while it plays, the clip itself is what one listens to
  }

  // For screen readers: where one is. Only when the clip rests or somebody steps, so that a playing clip is not talked over.
  let announced = "";  // as it was said here; the element may have it in another language

  function announce(index) {
    const said = sayWindow(index);
    if (announced === said) return;
    announced = said;
    find("live").textContent = said;
    timeline.setAttribute("aria-valuetext", said);
    timeline.setAttribute("aria-valuenow", video.currentTime.toFixed(1));
  }

  const spanOf = (w) => `${w.start}–${+Math.min(w.end, state.clip.duration).toFixed(1)} s`;
  const shareOf = (kept, total) => (total ? `${Math.round((100 * kept) / total)} %` : "–");
  const rateOf = (value) => (value === null ? "–" : value.toFixed(2));

  function factsOf(index) {
    const maps = b() ? [a(), b()] : [a()];
    const said = WORDS.facts;
    const counted = (kept, total) => [shareOf(kept, total), filled(said.of, { kept, total })];
    const rows = [
      [said.picture, (w) => counted(w.videoKept, w.video)],
      [said.sound, (w) => (w.audio ? counted(w.audioKept, w.audio) : ["–", said.no_sound])],
      [said.sa, (w) => [rateOf(w.sa), ""]],
      [said.rho, (w) => [rateOf(w.rho), ""]],
    ];
    const head = b() ? `<tr><th></th>${maps.map((map, i) => `<th scope="col"><i class="lens-key lens-${"ab"[i]}"></i>${escaped(map.label)}</th>`).join("")}</tr>` : "";
    return head + rows.map(([name, read]) => {
      const cells = maps.map((map) => read(map.windows[index]) || ["–", ""]);
      return `<tr><th scope="row">${name}</th>${cells.map(([main, small]) => `<td><b>${main}</b>${small ? `<small>${small}</small>` : ""}</td>`).join("")}</tr>`;
    }).join("");
  }

  function sayWindow(index) {
    const said = WORDS.said;
    const side = (map) => {
      const w = map.windows[index];
      const parts = [filled(said.picture, { kept: w.videoKept, total: w.video })];
      parts.push(w.audio ? filled(said.sound, { kept: w.audioKept, total: w.audio }) : said.no_sound);
      if (w.sa !== null || w.rho !== null) parts.push(filled(said.allocated, { sa: rateOf(w.sa), rho: rateOf(w.rho) }));
      return parts.join(", ");
    };
    const place = { n: index + 1, span: spanOf(a().windows[index]) };
    if (!b()) return filled(said.one, { ...place, what: side(a()) });
    return filled(said.two, { ...place, a: a().label, what_a: side(a()), b: b().label, what_b: side(b()) });
  }

  // Where to begin: in the middle of the window to which the method gave most of the picture, or, of two, where they differ
  // most. A clip's first frame is often dark, and little is decided there.
  function decisive() {
    const shareOf = (map, i) => (map.windows[i]?.video ? map.windows[i].videoKept / map.windows[i].video : 0);
    const weight = (_, i) => (b() ? Math.abs(shareOf(a(), i) - shareOf(b(), i)) : shareOf(a(), i));
    const weights = a().windows.map(weight);
    const w = a().windows[weights.indexOf(Math.max(...weights))];
    return w ? (w.start + Math.min(w.end, state.clip.duration)) / 2 : 0;
  }

  function open() {
    if (state.begun || state.opened || !ready() || video.readyState < 1) return;
    state.opened = true;
    video.currentTime = decisive();
    showNow(true);
  }

  function seek(time) {
    state.begun = true;
    video.currentTime = Math.max(0, Math.min(time, (video.duration || state.clip.duration) - 0.001));
    showNow(true);
  }

  function stepWindow(by) {
    const windows = a().windows;
    const next = Math.max(0, Math.min(windows.length - 1, windowAt(video.currentTime) + by));
    seek(windows[next].start);
    announce(next);
  }

  // ---- the part to compare next: between two handles below the time axis, of what the lens shows

  const ends = { start: find("start"), end: find("end") };
  const BESIDE_S = 0.15;  // what is shown may be that much shorter than the film: its last frame, its last word of sound

  function showPart() {
    const there = Boolean(options.part && state.part && ready() && layout && state.clip.duration);
    find("part").hidden = !there;
    if (!there) for (const name of ["before", "after", "again"]) find(name).hidden = true;
    if (!there) return;
    const from = state.clip.from ?? 0;
    const shown = { start: 0, end: state.clip.duration };
    const wished = { start: state.part.start - from, end: state.part.end - from };
    const at = {};
    for (const name of ["start", "end"]) {
      at[name] = Math.max(0, Math.min(shown.end, wished[name]));
      Object.assign(ends[name], { max: shown.end, step: Math.max(0.1, Math.round(shown.end / 1000)), value: at[name] });
      ends[name].setAttribute("aria-valuetext", clock(from + at[name], true));
    }
    element.querySelector(".lens").classList.toggle("lens-narrow", layout.narrow);
    Object.assign(find("ends").style, { marginLeft: `${layout.left}px`, width: `${layout.inner}px` });
    const [left, right] = [xOf(at.start), xOf(at.end)];
    find("ends").style.setProperty("--from", `${left - layout.left}px`);
    find("ends").style.setProperty("--to", `${right - layout.left}px`);
    const dimmed = [["before", layout.left, left], ["after", right, xOf(shown.end)]];
    for (const [name, begin, finish] of dimmed) {
      find(name).hidden = finish - begin < 1;
      Object.assign(find(name).style, { left: `${begin}px`, width: `${finish - begin}px`, height: `${layout.axis}px` });
    }
    const again = ["start", "end"].some((name) => Math.abs(wished[name] - shown[name]) > BESIDE_S);
    find("again").textContent = filled(WORDS.compare_part, { start: clock(state.part.start, true), end: clock(state.part.end, true) });
    find("again").hidden = !again;
  }

  function setPart(part) {
    state.part = part;
    showPart();
  }

  function choosePart(name) {
    const seconds = Number(ends[name].value);
    const [from, whole] = [state.clip.from ?? 0, state.part.duration];
    const atEnd = seconds >= Number(ends[name].max) - 1e-6 && from + seconds > whole - BESIDE_S;
    seek(seconds);
    options.part.set(name, atEnd ? whole : from + seconds);
    showPart();  // the handle stays where the part may end
  }

  // ---- what is shown

  function showViews() {
    const names = Object.keys(WORDS.views).filter((name) => name !== "versus" || b());
    if (!names.includes(state.view)) state.view = "kept";
    find("views").innerHTML = names.map((name) => {
      const [on, [title, hint]] = [name === state.view, WORDS.views[name]];
      return `<button type="button" role="radio" data-view="${name}" aria-checked="${on}" tabindex="${on ? 0 : -1}" title="${hint}">${title}</button>`;
    }).join("");
    const said = WORDS.legend;
    const found = a() ? new Set(a().reason) : new Set();
    const lost = !a()?.unseen ? said.dropped : a().drops ? said.lost : said.unseen;
    const legend = {
      kept: [["clear", said.kept], ["dim", lost]],
      dropped: [["clear", lost], ["dim", said.kept]],
      reason: [
        ...["density peak", "change", "method score"].filter((name) => found.has(REASONS.indexOf(name))).map((name) => [name, said[name]]),
        ...(a()?.unseen ? [["unseen", said.unseen]] : []),
        ...(a()?.drops || !a()?.unseen ? [["dim", a()?.unseen ? said.looked : said.dropped]] : []),
      ],
      folded: [["absorbed", said.absorbed], ["folded", said.folded], ["clear", said.as_is], ["dim", lost]],
      versus: b() ? [["both", said.both], ["a", filled(said.only, a())], ["b", filled(said.only, b())], ["dim", said.neither]] : [],
    }[state.view];
    find("legend").innerHTML = legend.map(([key, text]) => `<li><i class="lens-key lens-${key === "clear" ? "clear" : "fill"}" style="background:${SWATCH(key)}"></i>${escaped(text)}</li>`).join("");
    const note = [unplayable ? WORDS.no_film : "", state.clip?.note, state.view === "folded" && a() && !a().folds ? WORDS.no_folds : ""].filter(Boolean).join(" ");
    Object.assign(find("note"), { textContent: note, hidden: !note });
    Object.assign(element.dataset, { view: state.view });
  }

  function setView(name) {
    state.view = name;
    showViews();
    drawVeil();
    drawTracks();
  }

  function redraw() {
    if (!ready()) return;
    placeVeil();
    drawTracks();
    showViews();
    showNow(true);
  }

  // ---- what comes in

  async function setClip(clip) {
    if (!clip || clip.key === state.clip?.key) return;
    state.clip = clip;
    last = { window: -1, step: -1 };
    state.wave = bytesOf(clip.wave);
    state.sheet = null;
    state.begun = state.opened = false;
    unplayable = false;
    video.src = options.urlOf(clip.source);
    timeline.setAttribute("aria-valuemax", clip.duration.toFixed(1));
    if (clip.thumbs) {
      const sheet = new Image();
      sheet.src = clip.thumbs.image;
      await sheet.decode().catch(() => null);
      if (state.clip !== clip) return;
      state.sheet = sheet;
    }
    redraw();
  }

  function setMaps(packed) {
    const hadB = state.b >= 0;
    state.maps = packed.map(unpackMap);
    state.a = 0;
    state.b = !options.choose && packed.length > 1 ? 1 : -1;
    if (state.b >= 0 && !hadB) state.view = "versus";
    if (options.view && Object.hasOwn(WORDS.views, options.view) && (options.view !== "versus" || b())) {
      state.view = options.view;  // as linked, once
      options.view = null;
    }
    showPicks();
    redraw();
    open();
    element.dataset.maps = Number(element.dataset.maps || 0) + 1;
  }

  function showPicks() {
    if (!options.choose || state.maps.length < 2) return;
    find("pick").hidden = false;
    const item = (map, i, on) => `<option value="${i}" ${i === on ? "selected" : ""}>${escaped(map.label)}</option>`;
    find("a").innerHTML = state.maps.map((map, i) => item(map, i, state.a)).join("");
    find("b").innerHTML = `<option value="-1">${WORDS.nothing}</option>${state.maps.map((map, i) => item(map, i, state.b)).join("")}`;
  }

  // ---- hands

  function play() {
    state.begun = true;
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  function onPlaying() {
    const label = video.paused ? WORDS.play : WORDS.pause;
    for (const name of ["play", "big"]) find(name).setAttribute("aria-label", label);
    element.querySelector(".lens-icon").setAttribute("d", video.paused ? "M8 5.2v13.6L19 12z" : "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z");
    element.querySelector(".lens").classList.toggle("lens-playing", !video.paused);
    if (!video.paused) requestAnimationFrame(follow);
    else showNow(true);
  }

  let followed = 0;

  function follow(now) {
    if (video.paused || !element.isConnected) return;
    if (!calm.matches || now - followed > 250) {  // with reduced motion the playhead takes four steps a second
      followed = now;
      showNow();
    }
    requestAnimationFrame(follow);
  }

  function onKey(event) {
    if (event.target.matches("input, select") || !ready()) return;
    const views = event.target.closest(".lens-views");
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (views && arrow) {
      const all = [...views.children];
      const next = all[(all.indexOf(event.target) + arrow + all.length) % all.length].dataset.view;
      setView(next);
      views.querySelector(`[data-view="${next}"]`).focus();
    } else if (arrow && event.shiftKey) seek(video.currentTime + arrow * state.clip.perStep);
    else if (arrow) stepWindow(arrow);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(a().windows[a().windows.length - 1].start);
    else if (event.key === " " && !event.target.matches("button")) play();
    else return;
    event.preventDefault();
  }

  function showTip(event) {
    const tip = find("tip");
    const time = timeOf(event.clientX);
    const index = windowAt(time);
    tip.innerHTML = `<b>${filled(WORDS.window, { n: index + 1 })}</b> · ${spanOf(a().windows[index])}<table>${factsOf(index)}</table>`;
    tip.hidden = false;
    const place = event.clientX - timeline.getBoundingClientRect().left;
    const most = timeline.clientWidth - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(4, Math.min(most, place > most - 12 ? place - tip.offsetWidth - 14 : place + 14))}px`;
  }

  // What became of the patch under the pointer, and why, in the words of the legend.
  function showPatch(event) {
    const tip = find("patch");
    if (!ready() || !state.clip.grid[0]) return;
    const [, rows, columns] = state.clip.grid;
    const [box, stage] = [veil.getBoundingClientRect(), find("stage").getBoundingClientRect()];
    const place = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    const row = place((event.clientY - box.top) / box.height, rows);
    const at = (stepAt(video.currentTime) * rows + row) * columns + place((event.clientX - box.left) / box.width, columns);
    const told = (map) => {
      const reason = REASONS[map.reason[at]];
      const name = map.absorbed[at] ? "absorbed" : reason === "dropped" && map.unseen ? "looked" : reason;
      const why = WORDS.legend[name] ?? "";
      if (map.keep[at] === 1) return why ? filled(WORDS.kept_because, { why }) : WORDS.legend.kept;
      return why || WORDS.legend.dropped;
    };
    tip.textContent = b() ? `A: ${told(a())} · B: ${told(b())}` : told(a());
    tip.hidden = false;
    const left = event.clientX - stage.left + 14;
    tip.style.left = `${Math.max(4, Math.min(stage.width - tip.offsetWidth - 4, left))}px`;
    tip.style.top = `${Math.max(4, event.clientY - stage.top - tip.offsetHeight - 10)}px`;
  }

  let silence = 0;

  function say(text) {
    find("said").textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => { find("said").textContent = ""; }, 8000);
  }

  // A link to what is shown: the settings come from the page, the moment and the view from here. null: the clip cannot be linked.
  function setLink(query) {
    state.link = query;
    find("link").hidden = query === undefined;
  }

  async function copyLink() {
    if (!state.link) return say(WORDS.no_link);
    const query = new URLSearchParams({ ...state.link, view: state.view, time: video.currentTime.toFixed(1) });
    const link = `${location.origin}${location.pathname}?${query}`;
    element.dataset.link = link;
    const done = await copied(link);
    say(done ? WORDS.copied : filled(WORDS.not_copied, { link }));
  }

  function savePicture() {
    composed({ ...state, a: a(), b: b(), window: windowAt(video.currentTime), facts: sayWindow(windowAt(video.currentTime)) }, video, veil, tracks, inks()).toBlob((blob) => {
      const anchor = document.createElement("a");
      anchor.href = URL.createObjectURL(blob);
      anchor.download = `${state.clip.name.replace(/\.[^.]*$/, "")}-${video.currentTime.toFixed(1)}s.png`;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
    }, "image/png");
  }

  // ---- wiring

  find("play").addEventListener("click", play);
  find("big").addEventListener("click", play);
  veil.addEventListener("click", play);
  veil.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") showPatch(event); });
  veil.addEventListener("pointerleave", () => { find("patch").hidden = true; });
  for (const name of ["play", "pause", "ended"]) video.addEventListener(name, onPlaying);
  for (const name of ["seeking", "seeked", "timeupdate"]) video.addEventListener(name, () => showNow());
  video.addEventListener("error", () => { unplayable = Boolean(video.getAttribute("src")); showViews(); });
  video.addEventListener("loadedmetadata", () => {
    find("stage").style.setProperty("--lens-shape", Math.max(0.8, video.videoWidth / video.videoHeight));
    if (options.time > 0) seek(Math.min(options.time, video.duration));
    options.time = 0;  // as linked, once
    redraw();
    open();
  });
  element.addEventListener("keydown", onKey);
  find("dim").addEventListener("input", (event) => { state.dim = event.target.value / 100; drawVeil(); });
  find("views").addEventListener("click", (event) => { const button = event.target.closest("[data-view]"); if (button) setView(button.dataset.view); });
  for (const name of ["a", "b"]) {
    find(name).addEventListener("change", (event) => {
      state[name] = Number(event.target.value);
      if (name === "b") state.view = b() ? "versus" : "kept";
      redraw();
    });
  }
  timeline.addEventListener("pointerdown", (event) => {
    if (!ready() || event.button) return;
    timeline.setPointerCapture(event.pointerId);
    seek(timeOf(event.clientX));
  });
  timeline.addEventListener("pointermove", (event) => {
    if (!ready() || !layout) return;
    if (timeline.hasPointerCapture(event.pointerId)) seek(timeOf(event.clientX));
    if (event.pointerType !== "touch") showTip(event);
  });
  timeline.addEventListener("pointerleave", () => { find("tip").hidden = true; });
  for (const name of ["start", "end"]) ends[name].addEventListener("input", () => choosePart(name));
  find("again").addEventListener("click", () => options.part.compare());
  find("png").addEventListener("click", savePicture);
  find("link").addEventListener("click", copyLink);
  const SNUG = 900;
  const SLIM = 620;
  function fit() {
    const lens = element.querySelector(".lens");
    lens.classList.toggle("lens-snug", lens.clientWidth <= SNUG);
    lens.classList.toggle("lens-slim", lens.clientWidth <= SLIM);
    if (ready()) { placeVeil(); drawTracks(); showNow(true); }
  }
  new ResizeObserver(fit).observe(element);
  fit();
  const recolour = new MutationObserver(drawTracks);
  for (const node of [document.documentElement, document.body]) recolour.observe(node, { attributes: true, attributeFilter: ["class", "lang"] });

  element.lens = { setClip, setMaps, setLink, setPart, state };
  return element.lens;
}

// Where pages may not write to the clipboard by themselves (no https), the old way of selecting and copying still works.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text });
    field.style.cssText = "position:fixed;opacity:0";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function escaped(text) {
  const node = document.createElement("span");
  node.textContent = text;
  return node.innerHTML;
}

// The present view as one picture: the frame under its veil, what the window holds, and the time axis with the playhead.
function composed(scene, video, veil, tracks, ink) {
  const width = 1600;
  const margin = 40;
  const wide = width - 2 * margin;
  const frame = fitted(wide, 620, video.videoWidth || 16, video.videoHeight || 9);
  const axis = { width: wide, height: (tracks.height * wide) / tracks.width };
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height: Math.round(margin + 92 + frame.height + 24 + axis.height + margin) });
  const context = canvas.getContext("2d");
  context.fillStyle = ink.panel;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = ink.ink;
  context.font = `700 30px ${FONT}`;
  context.textBaseline = "top";
  const title = scene.b ? filled(WORDS.versus_title, { a: scene.a.label, b: scene.b.label }) : scene.a.label;
  context.fillText(translated(title), margin, margin - 6);
  context.fillStyle = ink.soft;
  context.font = `19px ${FONT}`;
  const saved = filled(WORDS.saved_picture, { a: scene.clip.name, time: clock(video.currentTime, true) });
  context.fillText(`${translated(saved)} · ${translated(scene.facts)}`, margin, margin + 38, wide);
  const [x, y] = [margin + (wide - frame.width) / 2, margin + 80];
  context.drawImage(video, x, y, frame.width, frame.height);
  context.drawImage(veil, x, y, frame.width, frame.height);
  const top = y + frame.height + 24;
  context.drawImage(tracks, margin, top, axis.width, axis.height);
  const scale = wide / tracks.clientWidth;
  const place = timelineLayout(tracks.clientWidth, scene.clip.sound > 0 && scene.a.audioKeep.length > 0);
  context.fillStyle = ink.ink;
  context.fillRect(margin + scale * (place.left + (place.inner * video.currentTime) / scene.clip.duration) - 1, top, 2.5, scale * place.axis);
  return canvas;
}
