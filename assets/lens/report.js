// The report without a server: its film and its decisions are within the page.

if (matchMedia("(prefers-color-scheme: dark)").matches) document.body.classList.add("dark");
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const data = read("lens-data");
const film = new Blob([bytesOf(data.clip.source)], { type: data.film });
const url = URL.createObjectURL(film);
const lens = mountLens(document.getElementById("lens"), { urlOf: () => url, choose: true });
lens.setClip(data.clip).then(() => lens.setMaps(data.maps));
const save = document.getElementById("save-json");
save.href = URL.createObjectURL(new Blob([document.getElementById("report-data").textContent], { type: "application/json" }));
