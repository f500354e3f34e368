"""A method's fields -> controls: a slider, a choice or a switch each, as the field describes itself.

Every method has two groups, made once and shown in turn: the rates, which count only while retention is "custom", and the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from omnizip.compressors.base import Compressor, Option
from omnizip.report import fragments

from . import words

WIDE = 10_000  # a range beyond this is typed, not dragged


def control(item: Option, elem_id: str) -> gr.components.Component:
    """The control one field asks for."""
    look = {"label": item.label, "info": item.help, "value": item.default, "elem_id": elem_id}
    if item.kind == "switch":
        return gr.Checkbox(**look)
    if item.kind == "choice":
        return gr.Radio(choices=list(item.choices), **look)
    if item.high - item.low > WIDE:
        return gr.Number(minimum=item.low, maximum=item.high, precision=0 if item.kind == "integer" else None, **look)
    return gr.Slider(minimum=item.low, maximum=item.high, step=item.step, buttons=[], **look)


@dataclass
class Controls:
    """All methods' controls, and how their values become a method's options."""

    methods: Mapping[str, type[Compressor]]
    components: list[gr.components.Component] = field(default_factory=list)
    groups: list[gr.Group] = field(default_factory=list)
    _items: list[tuple[str, Option]] = field(default_factory=list)  # beside `components`
    _places: list[tuple[str, bool]] = field(default_factory=list)  # beside `groups`: method, whether these are the rates

    def build(self, method: str, retention: str) -> None:
        """Makes all groups where this is called, those of `method` visible."""
        for name, kind in self.methods.items():
            for rates in (True, False):
                items = [item for item in kind.options() if item.is_rate == rates]
                with gr.Group(
                    visible=self._is_shown(name, rates, method, retention), elem_id=f"options-{name}-{'rates' if rates else 'more'}"
                ) as group:
                    for item in items:
                        self.components.append(control(item, f"option-{name}-{item.name}"))
                        self._items.append((name, item))
                    if not rates and not kind.options():
                        gr.HTML(fragments.hint(words.ADVANCED_NONE))
                self.groups.append(group)
                self._places.append((name, rates))

    def _is_shown(self, name: str, rates: bool, method: str, retention: str) -> bool:
        if name != method:
            return False
        return not rates or (retention == words.CUSTOM and any(item.is_rate for item in self.methods[name].options()))

    def visibility(self, method: str, retention: str) -> list[dict[str, Any]]:
        """One update per group: whether it is shown under this method and retention."""
        return [gr.update(visible=self._is_shown(name, rates, method, retention)) for name, rates in self._places]

    def options(self, method: str, values: Sequence[Any]) -> dict[str, Any]:
        """The chosen method's options from all controls' values; whole numbers arrive as floats from sliders."""
        chosen = {}
        for (name, item), value in zip(self._items, values, strict=True):
            if name == method:
                chosen[item.name] = int(value) if item.kind == "integer" and isinstance(value, float) and value.is_integer() else value
        return chosen

    def updates(self, method: str, options: Mapping[str, Any]) -> list[Any]:
        """One update per component: `method`'s as given or at their defaults, the others as they are."""
        return [gr.update(value=options.get(item.name, item.default)) if name == method else gr.skip() for name, item in self._items]
