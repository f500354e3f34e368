// The strip of examples and the picture of the clip box. `element` holds the strip of ui/examples.py; `trigger` tells the page.

const PREVIEW_S = 2;
const POSTER_SHARE = 1 / 3;  // of a clip of one's own: its first frame is often dark
const root = (window.gradio_config?.root ?? "").replace(/[/]$/, "") + (window.gradio_config?.api_prefix ?? "/gradio_api");
const addressOf = (path) => `${root}/file=${path.split("/").map(encodeURIComponent).join("/")}`;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const cards = [...element.querySelectorAll("[data-example]")];

for (const card of cards) {
  const [film, at] = [card.querySelector("video"), Number(card.dataset.at)];
  film.muted = true;  // the attribute alone is not heard in elements made of text
  film.src = `${addressOf(card.dataset.file)}#t=${at}`;
  let ending = 0;
  const rest = () => { clearTimeout(ending); film.pause(); film.currentTime = at; };
  const preview = () => {
    if (calm.matches) return;
    clearTimeout(ending);
    film.currentTime = at;
    film.play().then(() => { ending = setTimeout(rest, 1000 * PREVIEW_S); }).catch(() => {});
  };
  card.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") preview(); });
  card.addEventListener("pointerleave", rest);
  card.addEventListener("focus", () => { if (card.matches(":focus-visible")) preview(); });
  card.addEventListener("blur", rest);
  card.addEventListener("click", () => trigger("select", { example: Number(card.dataset.example) }));
}

// A picture for the clip box, taken from the film itself, so that it does not wait there in black.
async function posterOf(source, at) {
  const film = Object.assign(document.createElement("video"), { muted: true, preload: "auto", src: source });
  const event = (name) => new Promise((done, failed) => {
    film.addEventListener(name, done, { once: true });
    film.addEventListener("error", failed, { once: true });
  });
  await event("loadedmetadata");
  film.currentTime = at ?? film.duration * POSTER_SHARE;
  await event("seeked");
  const canvas = Object.assign(document.createElement("canvas"), { width: film.videoWidth, height: film.videoHeight });
  canvas.getContext("2d").drawImage(film, 0, 0);
  return canvas.toDataURL("image/jpeg", 0.85);
}

const pathOf = (address) => new URL(address, location.href).pathname;
let shown = "";

function look() {
  const film = document.querySelector("#clip video");
  const source = film?.getAttribute("src") ?? "";
  if (source === shown) return;
  shown = source;
  let chosen = null;
  for (const card of cards) {
    const is = Boolean(source) && pathOf(source) === pathOf(addressOf(card.dataset.file));
    card.setAttribute("aria-pressed", is);
    if (is) chosen = card;
  }
  if (!source || source.startsWith("blob:")) return;
  posterOf(source, chosen ? Number(chosen.dataset.at) : null).then((picture) => {
    if (film.isConnected && film.getAttribute("src") === source) film.poster = picture;
  }).catch(() => {});  // what the browser cannot show has no picture
}

new MutationObserver(look).observe(document.querySelector("#clip") ?? document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
look();
