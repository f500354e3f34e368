// The page in another language. Everything comes in English; this puts what a catalogue knows in its place, also of what comes later,
// and English back when it is asked to. LANGUAGES: [{ code, name, path | sentences, joints }], English first and without a catalogue.
// omnizip/report/languages.py finds words by the same rules. What people and models wrote is marked translate="no" and left alone.

(() => {
  const KEY = "omnizip-language";
  const ATTRIBUTES = ["aria-label", "title", "placeholder", "alt", "aria-valuetext", "data-name"];  // the last is shown by methods.css
  const WRITTEN = "[translate=no]";
  const OWN = `script, style, textarea, code, pre, ${WRITTEN}`;
  const PLACE = /\{(\w+)\}/g;
  const WEAK = 3;  // letters of a template that begins with a value and says too little by itself: its values have to be known, or numbers
  const GAP = /([\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])/g;  // no language puts a space between two such signs
  const NUMBER = /^[^A-Za-z]*(ms|s|min)?$/;

  // ---- one language

  const sentencesOf = (text) => text.replace(/([.!?…]) +(?=[A-Z0-9“])/g, "$1\n").split("\n");
  const lettersOf = (text) => text.replace(/[^A-Za-z]/g, "").length;
  const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  function template([key, said]) {
    const names = [];
    const pattern = key.split(/(\{\w+\})/).map((piece) => {
      const [, name] = piece.match(/^\{(\w+)\}$/) ?? [];
      if (!name) return quoted(piece);
      if (names.includes(name)) return `\\${names.indexOf(name) + 1}`;
      names.push(name);
      return name === "n" ? "([^A-Za-z]*?)" : "([^]*?)";
    }).join("");
    const pieces = key.split(PLACE).filter((piece, i) => i % 2 === 0 && piece);
    const letters = lettersOf(pieces.join(""));
    return { said, names, pieces, letters, weak: letters <= WEAK && key.startsWith("{"), pattern: new RegExp(`^${pattern}$`) };
  }

  function catalogue({ sentences, joints }) {
    const known = new Map(Object.entries(sentences));
    const templates = Object.entries(sentences).filter(([key]) => key.search(PLACE) >= 0).map(template).sort((a, b) => b.letters - a.letters);
    const found = new Map();
    const joined = (parts, joint) => {
      const said = parts.map((part) => say(part));
      return said.some((part) => part !== null) ? said.map((part, i) => part ?? parts[i]).join(joint) : null;
    };

    function look(text) {
      if (known.has(text)) return known.get(text);
      if (!/[A-Za-z]{2}/.test(text)) return null;
      if (text.includes(" · ")) return joined(text.split(" · "), " · ");
      let loose = null;  // with a whole sentence in the place of a value, which is more often two sentences
      for (const one of templates) {
        if (!one.pieces.every((piece) => text.includes(piece))) continue;
        const match = text.match(one.pattern);
        if (!match) continue;
        const values = match.slice(1);
        const said = values.map((value) => (value ? say(value) : ""));
        if (one.weak && values.some((value, i) => said[i] === null && !NUMBER.test(value))) continue;
        const filled = one.said.replace(PLACE, (_, name) => said[one.names.indexOf(name)] ?? values[one.names.indexOf(name)]);
        if (!values.some((value) => sentencesOf(value).length > 1)) return filled.replace(GAP, "$1");
        loose ??= filled.replace(GAP, "$1");
      }
      const sentences = sentencesOf(text);
      if (sentences.length > 1 && (loose === null || sentences.every((sentence) => say(sentence) !== null))) return joined(sentences, joints[" "]);
      if (loose !== null) return loose;
      const figure = text.match(/^([\d.,]+×) ([^]+)$/) ?? text.match(/^([^]+) ([\d.]+ %)$/);
      if (figure) return joined(figure.slice(1), " ");
      const colon = text.indexOf(": ");
      if (colon > 0 && say(text.slice(0, colon)) !== null) return joined([text.slice(0, colon), text.slice(colon + 2)], joints[": "]);
      const parts = text.split(", ");
      return parts.length > 1 ? joined(parts, joints[", "]) : null;
    }

    function say(text) {
      if (!found.has(text)) {
        if (found.size > 5000) found.clear();  // a clock that runs says something new all the time
        found.set(text, look(text));
      }
      return found.get(text);
    }
    return { say, back: new Map(Object.entries(sentences).map(([key, said]) => [said, key])) };
  }

  // ---- what is shown

  let language = LANGUAGES[0];
  let spoken = null;  // its catalogue; null for English
  let others = null;  // by which gradio's own words, which follow the browser, become English
  const texts = new WeakMap();  // text node -> what it said in English, and what it was given to say
  const named = new WeakMap();  // element -> the same for each of its attributes
  const chosen = new WeakMap();  // input that only shows a choice -> its value
  const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");

  function inWords(text) {
    const plain = text.trim();
    if (!plain) return text;
    const english = others?.get(plain) ?? plain;
    const said = spoken?.say(english) ?? english;
    return said === plain ? text : text.replace(plain, () => said);
  }

  function put(kept, at, now, write) {
    const before = kept.get(at);
    const source = before && before.shown === now ? before.source : now;
    const shown = inWords(source);
    if (!before && shown === now) return;
    kept.set(at, { source, shown });
    if (shown !== now) write(shown);
  }

  const textOf = (node) => put(texts, node, node.data, (shown) => { node.data = shown; });

  function attributesOf(element) {
    for (const name of ATTRIBUTES) {
      const now = element.getAttribute(name);
      if (!now) continue;
      if (!named.has(element)) named.set(element, new Map());
      put(named.get(element), name, now, (shown) => element.setAttribute(name, shown));
    }
    if (element.matches("input[readonly]")) choiceOf(element);
  }

  // What a closed list shows is an input's value, which the page's framework writes and reads: it goes on seeing the English one.
  function choiceOf(input) {
    const show = () => value.set.call(input, inWords(chosen.get(input)));
    if (!chosen.has(input)) {
      chosen.set(input, value.get.call(input));
      Object.defineProperty(input, "value", {
        configurable: true,
        get: () => chosen.get(input),
        set: (given) => { chosen.set(input, String(given ?? "")); show(); },
      });
    }
    show();
  }

  function all(node) {
    if (node.nodeType === Node.TEXT_NODE) return textOf(node);
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    if (node.dataset.language) node.setAttribute("aria-pressed", node.dataset.language === language.code);
    if (node.matches(WRITTEN)) return;
    attributesOf(node);  // of a field for a question, too
    if (!node.matches(OWN)) node.childNodes.forEach(all);
  }

  const isOwn = (node) => node.parentElement?.closest(OWN);

  const later = new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach((node) => { if (!isOwn(node)) all(node); });
      else if (isOwn(target) || (type === "attributes" && target.matches(WRITTEN))) continue;
      else if (type === "attributes") attributesOf(target);
      else textOf(target);
    }
  });

  // ---- which language

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;  // a browser that keeps nothing for a page
    }
  }

  const baseOf = (code) => code.toLowerCase().split("-")[0];
  const known = (code) => LANGUAGES.find((one) => baseOf(one.code) === baseOf(code));
  const preferred = () => (navigator.languages ?? [navigator.language]).map(known).find(Boolean) ?? LANGUAGES[0];

  async function read(one) {
    if (one === LANGUAGES[0]) return null;
    if (!one.sentences) {
      const root = (window.gradio_config?.root ?? "").replace(/[/]$/, "") + (window.gradio_config?.api_prefix ?? "/gradio_api");
      const answer = await fetch(`${root}/file=${one.path.split("/").map(encodeURIComponent).join("/")}`);
      Object.assign(one, await answer.json());
    }
    one.catalogue ??= catalogue(one);
    return one.catalogue;
  }

  // Gradio declares the browser's language, also where the page is not in it.
  function declare() {
    if (document.documentElement.lang !== language.code) document.documentElement.lang = language.code;
  }

  async function speak(one) {
    const own = preferred();
    [spoken, others] = [await read(one), (await read(own))?.back ?? null];
    language = one;
    declare();
    later.disconnect();
    all(document.body);
    if (spoken || others) later.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
  }

  document.addEventListener("click", (event) => {
    const code = event.target.closest?.("[data-language]")?.dataset.language;
    if (!code) return;
    try {
      localStorage.setItem(KEY, code);
    } catch {
      // until the page is left, then
    }
    speak(known(code)).catch(() => {});  // without its catalogue the page stays as it is
  });

  window.inWords = inWords;  // for what is drawn
  declare();
  new MutationObserver(declare).observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });
  const first = known(remembered() ?? "") ?? preferred();
  if (first !== LANGUAGES[0] || preferred() !== LANGUAGES[0]) speak(first).catch(() => {});
})();
