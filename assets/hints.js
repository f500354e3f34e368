// The guided first visit: three hints, and their numbers beside what they speak of, until somebody has read them.

const KEY = "omnizip-hints";
const SEEN = "seen";

// Browsers that keep nothing for a page throw; there every visit is the first.
function remembered() {
  try {
    return localStorage.getItem(KEY) === SEEN;
  } catch {
    return false;
  }
}

const desk = document.querySelector("#desk");
const hints = element.querySelector(".oz-hints");
const end = () => {
  hints.hidden = true;
  delete desk.dataset.guided;
};

if (!remembered()) {
  hints.hidden = false;
  desk.dataset.guided = "";
}
hints.querySelector("button").addEventListener("click", () => {
  end();
  try {
    localStorage.setItem(KEY, SEEN);
  } catch {
    // forgotten, then
  }
});
