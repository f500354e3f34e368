"""The lens on the page: a gradio component around assets/lens/, fed with what omnizip.report.packed packs.

The clip and the decisions come as two props, so that moving a slider sends decisions only. The template never changes:
gradio would wipe what the component drew.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from omnizip.report import lens_files

ON_LOAD = """
const root = (window.gradio_config?.root ?? "").replace(/[/]$/, "") + (window.gradio_config?.api_prefix ?? "/gradio_api");
const asked = new URLSearchParams(location.search);  // of a link that was followed
const lens = mountLens(element, {
  view: asked.get("view"),
  time: Number(asked.get("time")) || 0,
  urlOf: (path) => `${root}/file=${path.split("/").map(encodeURIComponent).join("/")}`,
  part: {  // assets/part.js keeps it
    set: (name, seconds) => document.dispatchEvent(new CustomEvent("oz-part-wish", { detail: { name, seconds } })),
    compare: () => document.querySelector("#compare")?.click(),
  },
});
document.addEventListener("oz-part", (event) => lens.setPart(event.detail));
document.dispatchEvent(new CustomEvent("oz-part-wish"));
const show = async () => {
  await lens.setClip(props.clip);
  if (!props.maps?.shown?.length) return;
  lens.setLink(props.maps.link);
  lens.setMaps(props.maps.shown);
};
watch(["clip", "maps"], show);
if (!asked.has("example")) show();  // a link has its own to show
"""


def lens(clip: dict[str, Any] | None = None, maps: dict[str, Any] | None = None) -> gr.HTML:
    """The component, empty or with what it shows first; `update` fills it."""
    return gr.HTML(
        html_template=lens_files.elements(),
        js_on_load=f"{lens_files.script()}\n{ON_LOAD}",
        apply_default_css=False,
        elem_id="lens",
        clip=clip,
        maps=maps,
    )


def update(clip: dict[str, Any] | None, maps: dict[str, Any] | None) -> dict[str, Any]:
    """What gradio takes to show a clip, or only other decisions about the clip shown.

    Args:
        clip: from `packed.pack_clip`; None leaves it.
        maps: from `view.maps`.
    """
    given = {"clip": clip, "maps": maps}
    return gr.update(**{name: value for name, value in given.items() if value is not None})
