"""The page's colours and fonts by day and by night, all of them the system's or our own."""

from __future__ import annotations

import gradio as gr

ACCENT = ("#eef6fc", "#d6e9f8", "#add3f0", "#7cb8e4", "#4399d3", "#0f7fc2", "#0069a8", "#005689", "#08466d", "#0b3a59", "#07253a")
SYSTEM_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "sans-serif")
MONO_FONT = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def page_theme() -> gr.themes.Base:
    """White panels on a very light ground, the same by night; what style.css draws itself takes its colours from there."""
    base = gr.themes.Base(
        primary_hue=gr.themes.Color(*ACCENT),
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=SYSTEM_FONT,
        font_mono=MONO_FONT,
    )
    day_and_night = {
        "body_background_fill": ("#f6f8fa", "#0f1319"),
        "block_background_fill": ("#ffffff", "#161b23"),
        "block_border_color": ("#e1e6ed", "#2a323e"),
        "border_color_primary": ("#e1e6ed", "#2a323e"),
        "block_label_background_fill": ("#ffffff", "#161b23"),
        "block_title_text_color": ("#1b2430", "#e7ebf1"),
        "block_label_text_color": ("#566173", "#9aa5b5"),
        "block_info_text_color": ("#566173", "#9aa5b5"),
        "body_text_color": ("#1b2430", "#e7ebf1"),
        "body_text_color_subdued": ("#566173", "#9aa5b5"),
        "input_background_fill": ("#f6f8fa", "#0f1319"),
        "input_border_color": ("#e1e6ed", "#2a323e"),
        "input_placeholder_color": ("#6b7688", "#8b96a6"),
        "checkbox_label_background_fill": ("#f6f8fa", "#0f1319"),
        "checkbox_label_background_fill_selected": ("#eaf3fa", "#14283a"),
        "checkbox_label_border_color": ("#e1e6ed", "#2a323e"),
        "button_primary_background_fill": ("#0069a8", "#0069a8"),
        "button_primary_background_fill_hover": ("#005689", "#0a75b5"),
        "button_primary_text_color": ("#ffffff", "#ffffff"),
        "button_secondary_background_fill": ("#ffffff", "#161b23"),
        "button_secondary_background_fill_hover": ("#eaf3fa", "#14283a"),
        "button_secondary_border_color": ("#ccd5df", "#3a4452"),
        "button_secondary_text_color": ("#1b2430", "#e7ebf1"),
    }
    both = {f"{name}{end}": value for name, pair in day_and_night.items() for end, value in zip(("", "_dark"), pair, strict=True)}
    return base.set(
        **both, checkbox_label_border_width="1px", button_border_width="1px", input_border_width="1px", block_title_text_weight="600"
    )
