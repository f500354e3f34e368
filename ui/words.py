"""Every sentence and number format the page shows; methods bring their own names.

Numbers carry their unit, are rounded to what was measured, and separate thousands by commas. A ratio says in words which
way it goes, and that nothing was gained where nothing was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omnizip.settings import Settings
from omnizip.types import Agreement, Conditions, Timing

if TYPE_CHECKING:
    from omnizip.report.report import Run

UNKNOWN = "–"

TITLE = "OmniZip"
TAGLINE = "The same question, answered twice: by the full model, and by one that reads only what the sound says is worth reading."
EMBEDDED = (
    "The small built-in model has the architecture of Qwen2.5-Omni and knows one little world: <b>coloured shapes and eight sounds</b>, "
    "as in the examples. For real footage choose Qwen2.5-Omni."
)

MODEL = "Which model answers"
MODEL_HINT = "One at a time, for everybody here. A change takes as long as its weights take to load, or to be fetched."
MODEL_BUILT_IN = "the small built-in model"
MODEL_LOADING = "Loading {name}. The page is ready; answers come once the model is."
MODEL_WAIT = "The model is still being loaded; wait until the line at the top of the page names it."
MODEL_OTHER = "Choose another model at the top of the page; the built-in one always works."
MODEL_FAILED = "{name} could not be loaded, for a reason that the server's log tells."
MEMORY_FREE = "{size} of memory free"

CLIP = "Clip"
CLIP_EXAMPLES = "Or try one of these"
EXAMPLES = {
    "bell.mp4": ("The bell", "What colour is the shape when the bell rings?"),
    "green-heart.mp4": ("Green heart, portrait", "What sound plays when the green heart appears?"),
    "whistle.mp4": ("Whistle, nothing to see", "Which sound comes first?"),
    "stripes.mp4": ("Stripes", "How many shapes appear?"),
    "music.mp4": ("Hard: music over silent shapes", "Which shape comes last?"),
    "two-hearts.mp4": ("Two hearts", "Describe the clip."),
}
OPEN_GIF = "Open a gif"
GIF_OPENED = "The gif was turned into an mp4, so that it can be played."
QUESTION = "Question"
QUESTION_HINT = "What happens in this clip, and what can be heard?"
RETENTION = "How much to keep"
RETENTION_HINT = "share of the clip's picture and sound the second model reads"
PRESETS = {"45 %": 0.45, "35 %": 0.35, "25 %": 0.25}
CUSTOM = "custom"
RETENTIONS = (*PRESETS, CUSTOM)
METHOD = "Method"
ADVANCED = "Advanced settings"
ADVANCED_NONE = "This method has nothing to set."
RATES_HINT = "These set how much is kept while “How much to keep” is on custom; otherwise they follow from it."
COMPARE = "Compare"
STOP = "Stop"
FOLLOW_UP = "Ask on about the same clip"
FOLLOW_UP_HINT = "Both models keep their own conversation. The clip is not read again."
FOLLOW_UP_EMPTY = "And what comes after that?"
ASK_ON = "Ask on"
NEW_CHAT = "New chat"

FULL_EMPTY = "The full model's answer will appear here. It reads every token of picture and sound."
COMPRESSED_EMPTY = "Beside it, the answer of the model that reads only what was kept, so that the two can be compared word by word."
HEADLINE_EMPTY = "Pick a clip, ask something, press Compare."
HOW = (
    ("Listen", "The model's own ears say which moments of the sound matter; minor sound is folded into a few anchors."),
    ("Look where it matters", "Where much is heard, more of the picture is kept. Elsewhere only what is typical and what changes."),
    ("Compare", "Both answers appear side by side, with what each cost and every patch and second that was kept."),
)
WAITING = "Its turn comes next: the two run one after the other, so that times are fair."
COMING = "Reading…"
NO_WORDS = "(It ended without a word.)"

KEPT = "What was kept"
KEPT_EMPTY = "After the first answer this shows which moments and which parts of the picture were kept, second by second, and why."
KEPT_OF_ANSWER = "This is what {label} read for the answer above: {share} of the clip."
KEPT_OF_PREVIEW = "With the settings at the left {label} would read {share} of the clip. Press Compare for its answer."
OVER = "Lay over it"
OVER_ANSWER = "answer"
OVER_CHOICES = (("Lay another method over it", ""), ("What the answer was given with", OVER_ANSWER))
LENS_COPY = "Browsers cannot play this file, so a copy is shown here; the models read the original."
CHARTS = "Charts and counts"
TIME_CHART = "Over time"
TIME_CHART_HINT = "Where more of the sound is kept, less of the picture is dropped."
REASONS = "Where every token went"
VIDEO = "As a video, with sound"
MAKE_VIDEO = "Make the video"
MAKING_VIDEO = "Drawing the video…"
VIDEO_HINT = "The sampled frames as the model sees them, with what was dropped dimmed. Made in a few seconds, ready to play and save."
DOWNLOADS = "Take it with you"
DOWNLOADS_HINT = "The report holds settings, conditions, both answers, every time and count; the windows are one row per two seconds."
REPORT_JSON = "Report (JSON)"
WINDOWS_CSV = "Windows (CSV)"

STAGES = {
    "decode": "Reading the clip",
    "encode": "Looking and listening",
    "compress": "Choosing what to keep",
    "warm up": "Warming up, so that times are fair",
    "answer": "Answering",
}
ARMS = ("the full model", "the compressed one")
QUEUED = "Waiting for its turn"
RUN_FAILED = "That ended without an answer: too many are waiting, or something went wrong. Press Compare again."
HALF_A_LOGIN = "{given} is set and {missing} is not; set both to ask visitors for a login, or neither."
NO_MCP = "MCP needs the package mcp, which is not installed; run pip install -r requirements-mcp.txt, or leave --mcp away."
UPLOADED_ENOUGH = "One visitor may upload {limit} within an hour, and this file goes beyond that; wait, or send a smaller one."
UPLOAD_UNMEASURED = "The upload does not say how long it is; send it with a Content-Length."
METHODS_NUMBER = "That names {given} methods; name at most {most}."
NOT_UPLOADED = "The clip is not an uploaded file; send the file itself, with gradio_client's handle_file."
STOPPED = "Stopped. What is written so far stays."
DONE = "Done."
NO_CLIP = "Pick a clip first: upload one, record one, or take an example."
NO_QUESTION = "Type a question first, such as “{hint}”"
NO_CHAT = "There is no answer to ask on about yet; press Compare first."
NO_MAP = "There is nothing to draw yet; press Compare first."
BAD_OPTIONS = 'The options are not a JSON object of names and values, such as {"merge_size": 3}.'
BAD_RETENTION = "The retention is {given!r}; give one of 45 %, 35 %, 25 % or custom, or a share such as 0.4."
UNPLAYABLE = "This browser may not play the file; it was read all the same."

REASON_WORDS = {
    "salient": ("heard as important", "sound that receives much attention"),
    "anchor": ("anchors", "kept to stand for the minor sound around them"),
    "density_peak": ("typical places", "the centre of a group of alike patches"),
    "change": ("changes", "patches unlike the same place a second before"),
    "method_score": ("chosen by the method", "kept by the method's own rule"),
    "folded": ("folded in", "not read themselves, merged into a kept token"),
    "dropped": ("dropped", "not read"),
    "text": ("text", "the question and markers"),
}
MODALITY_WORDS = {"audio": "Sound", "video": "Picture"}

LENS: dict[str, Any] = {  # for assets/lens/, where {name} stands for a value
    "section": "What was kept, on the playing clip",
    "clip": "The clip",
    "play": "Play",
    "pause": "Pause",
    "method": "Method",
    "compared": "Compared with",
    "nothing": "nothing",
    "show": "What to show",
    "dimming": "Dimming",
    "dimming_label": "Dimming of the picture, percent",
    "keys": "Click or drag to seek · ← → window by window · space plays",
    "moment": "Moment in the clip",
    "clock": "{now} of {end}",
    "window": "Window {n}",
    "of_windows": "{span} · of {count}",
    "views": {
        "kept": ("Kept", "What the model reads, bright; the rest dimmed"),
        "dropped": ("Dropped", "What the model does not read, bright"),
        "reason": ("Why", "Kept patches coloured by the reason they were kept for"),
        "folded": ("Folded", "Patches that absorbed others, with how many"),
        "versus": ("A / B", "Kept by both, only by one, or by the other"),
    },
    "legend": {
        "kept": "kept",
        "dropped": "dropped",
        "density peak": "typical place",
        "change": "change",
        "method score": "the method's own rule",
        "absorbed": "absorbed others",
        "folded": "folded away",
        "as_is": "kept as it is",
        "both": "both",
        "only": "only {label}",
        "neither": "neither",
    },
    "no_folds": "No patch was folded here. OmniZip folds picture with its option “Unchanged video” on “fold”; the light marks under the "
    "sound are anchors that absorbed minor sound.",
    "no_film": "This browser cannot play the clip; the pictures below are what the model was given.",
    "facts": {
        "picture": "Picture kept",
        "sound": "Sound kept",
        "sa": "Important sound, S<sub>a</sub>",  # the only one that is markup
        "rho": "Picture to drop, ρ",
        "of": "{kept} of {total}",
        "no_sound": "no sound",
    },
    "said": {
        "window": "Window {n}, {span}",
        "picture": "picture {kept} of {total} kept",
        "sound": "sound {kept} of {total} kept",
        "no_sound": "no sound",
        "allocated": "S a {sa}, rho {rho}",
    },
    "save_picture": "Save picture",
    "saved_picture": "{a} at {time}",
    "versus_title": "{a} (blue) and {b} (vermilion)",
    "copy_link": "Copy link",
    "copy_link_hint": "Copies a link to this example with this question, these settings and this moment",
    "copied": "Copied: a link to this example, question, settings and moment.",
    "not_copied": "The browser refused to copy. The link: {link}",
    "no_link": "Your own clip is not kept, so it cannot be linked; save the report instead. Examples can be linked.",
    "tracks": {
        "frames": ("Frames", "kept patches bright"),
        "rates": ("Picture dropped", "per 2 s; dashed: budget"),
        "bars": ("Sound kept", "per 2 s; light: anchors"),
        "wave": ("Sound", "brighter: more attention"),
        "ticks": ("", "the sound tokens kept"),
    },
}
LINK_BROKEN = "The link could not be followed ({what}), so this is the page as it always starts."
LINK_WHAT = {
    "example": "there is no such example",
    "question": "the question is missing or too long",
    "method": "there is no such method",
    "keep": "there is no such share to keep",
    "over": "there is no such method to lay over it",
    "option": "a setting is unknown or out of range",
}
LINK_OPENED = "Opened from a link."

COSTS = "What each answer cost"
VERSUS = "difference"
SAME = "the same"
NOT_ON_CPU = "not measured on CPU"
NOT_MEASURED = "not measured"
COST_TOKENS = ("Tokens read", "by the language model")
COST_REUSED = ("of them known already", "read for an earlier question, not read again")
COST_PICTURE = ("of them picture", "")
COST_SOUND = ("of them sound", "")
COST_CHOOSING = ("Choosing", "deciding what to keep")
COST_READING = ("Reading", "all that was kept, at once (prefill)")
COST_FIRST = ("First word after", "choosing, reading, first token")
COST_WRITING = ("Writing", "the rest of the answer (decode)")
COST_CACHE = ("Memory to remember it", "keys and values (KV cache)")
COST_PEAK = ("Peak memory", "of the whole device")
COST_OPERATIONS = ("Operations to read", "FLOPs: floating-point operations")

CAN_BE_HAD = "Reading was {measured}; by the operations counted it could be {allowed}."
CHOSEN_ANEW = "{label} looks at the question: for this one it chose anew, and read again what it kept."

AXIS_SHARE = "share of tokens"
AXIS_TIME = "time in the clip (s)"
AXIS_WAVE = "sound"
SOUND_KEPT = "sound kept"
PICTURE_DROPPED = "picture dropped"
PICTURE_MEAN = "its mean over the clip"
NO_SOUND = "no sound"

METHODS_TAB = "Methods side by side"
METHODS_HINT = "Runs every method you tick on the clip and question above. The clip is read once; the full model answers first."
METHODS_RUN = "Run the methods"
METHODS_FAILED = f"That ended without a result: too many are waiting, or something went wrong. Press {METHODS_RUN} again."
METHODS_NONE = "Tick at least one method and one share to keep."
METHODS_MANY = "That is too much at once; choose at most {most} combinations of methods and shares."
METHODS_COLUMNS = (  # name, and what it is in other words or units
    ("Method", ""),
    ("Asked", "of the clip"),
    ("Kept", "of the clip"),
    ("Answer", ""),
    ("Same as full?", "word for word"),
    ("Agreement", "nats; rank"),
    ("Tokens", "read"),
    ("Choosing", "compress"),
    ("Reading", "prefill"),
    ("Writing", "decode"),
)
METHODS_PEAK = ("Peak memory", "whole device")
METHODS_CACHE = ("Cache", "keys, values")
METHODS_CACHE_HINT = "Cache: what the model remembers of the prompt and its answer. The peak of all memory is not measured on CPU."
METHODS_AGREEMENT_HINT = (
    "Agreement: how likely the full model's answer is to a model that read only what was kept, as mean logarithm per token: 0 is certain, "
    "−0.7 one in two, −4.6 one in a hundred. Behind it, the place of that answer's first word among all possible ones."
)
METHODS_TOKENS_HINT = "Tokens of methods that choose inside the model (FastV, FastAV, PyramidDrop, SEATS) are means over its layers."
METHODS_CHART = "Cost against agreement"
METHODS_CHART_HINT = (
    "Up is better: the full model's answer stays likely. Left is better: less work. "
    "The dotted line joins the methods that none beats in both."
)
METHODS_COST = "work to read (GFLOPs)"
METHODS_AGREEMENT = "likelihood of the full answer, per token"
METHODS_HOVER = "%{text}<br>%{x:.3g} GFLOPs<br>likelihood per token %{customdata} (%{y:.2f} nats)<extra></extra>"
METHODS_MOMENT = "Moment in the clip"
METHODS_DIFFERENCE = "Where two methods differ"
METHODS_DIFFERENCE_HINT = "The patches each of two methods kept to the end, on the same frame."
METHODS_BOTH = "kept by both"
METHODS_ONLY = "only {name}"
METHODS_MOMENT_LINE = "Second {start:.1f} to {end:.1f} of the clip, {total} patches; dark ones were kept by neither."
METHODS_NO_PICTURE = "This clip has no picture to compare."
YES, NO = "yes", "no"
COST_AGREEMENT = ("Agreement", "how likely it finds the full model's answer: nats per word piece, 0 is certain")


def count(n: int | None) -> str:
    """1234 -> "1,234"."""
    return UNKNOWN if n is None else f"{n:,}"


def share(x: float | None) -> str:
    """0.352 -> "35 %"; one decimal below 10 %."""
    if x is None:
        return UNKNOWN
    return f"{100 * x:.1f} %" if 0 < x < 0.0995 else f"{100 * x:.0f} %"


def seconds(s: float | None) -> str:
    """Seconds with one decimal, minutes from 100 s on."""
    if s is None:
        return UNKNOWN
    return f"{s:.1f} s" if s < 100 else f"{int(s // 60)} min {int(s % 60):02d} s"


def duration(ms: float | None) -> str:
    """Milliseconds as measured: 0.42 ms, 12.3 ms, 345 ms, 1.23 s, 12.3 s."""
    if ms is None:
        return UNKNOWN
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 99.5 else f"{ms:.1f} ms" if ms >= 0.95 or ms == 0 else f"{ms:.2f} ms"
    return f"{ms / 1000:.2f} s" if ms < 10_000 else f"{ms / 1000:.1f} s"


def scaled(x: float, unit: str, names: Sequence[str], step: float) -> str:
    """Three digits and the largest unit below: scaled(1.5e6, "B", ...) -> "1.50 MB"."""
    for name in names:
        if x < 0.9995 * step or name == names[-1]:
            digits = 0 if not name or x >= 99.95 else 1 if x >= 9.995 else 2
            return f"{x:.{digits}f} {name}{unit}"
        x /= step
    raise ValueError("names is empty")


def size(n_bytes: int | None) -> str:
    """Bytes in decimal units: 1_500_000 -> "1.50 MB"."""
    return UNKNOWN if n_bytes is None else scaled(float(n_bytes), "B", ("", "k", "M", "G", "T"), 1000.0)


def operations(n: int | None) -> str:
    """Floating-point operations: 2.5e12 -> "2.50 TFLOPs"."""
    return UNKNOWN if n is None else scaled(float(n), "FLOPs", ("", "k", "M", "G", "T", "P", "E"), 1000.0)


def rate(per_s: float | None) -> str:
    """12.34 -> "12.3 tokens/s"."""
    return UNKNOWN if per_s is None else f"{per_s:,.0f} tokens/s" if per_s >= 99.5 else f"{per_s:.1f} tokens/s"


def times(x: float) -> str:
    """2.93 -> "2.9×", 14.2 -> "14×"."""
    return f"{x:.0f}×" if x >= 9.95 else f"{x:.1f}×"


def gain(x: float | None, better: str, worse: str, same: str = SAME) -> tuple[str, str] | None:
    """A ratio full / compressed as (figure, words): 2.9 -> ("2.9×", better), 0.5 -> ("2.0×", worse); None where unknown."""
    if x is None or x <= 0:
        return None
    if 0.95 < x < 1.05:
        return "1.0×", same
    return (times(x), better) if x > 1 else (times(1 / x), worse)


def headline(ratios: dict[str, float | None]) -> list[tuple[str, str]]:
    """The line above the answers as (figure, words), from RunReport.ratios: what was read, and what that saved."""
    tokens = ratios.get("tokens")
    parts: list[tuple[str, str] | None] = [None if not tokens else (share(1 / tokens), "of the tokens read")]
    parts.append(gain(ratios.get("prefill"), "faster to read", "slower to read", "as fast to read"))
    parts.append(gain(ratios.get("ttft"), "sooner to the first word", "later to the first word", "as soon to the first word"))
    parts.append(gain(ratios.get("kv_cache"), "less memory", "more memory", "as much memory"))
    return [part for part in parts if part is not None]


def difference(first: str, second: str, differs: bool) -> str:
    """One line under the answers once both are there."""
    if first.strip() == second.strip():
        return "Both answers are the same, word for word."
    return "Underlined words differ between the two." if differs else "The answers differ only in spaces."


def parameters(n: int) -> str:
    """8_930_000_000 -> "8.9 B parameters"."""
    for unit, name in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if n >= unit:
            return f"{n / unit:.3g}{name} parameters"
    return f"{n} parameters"


def model_line(c: Conditions) -> str:
    """What every number on the page depends on."""
    name = f"{c.model} (built in)" if c.embedded else c.model
    threads = f", {c.threads} thread{'s' if c.threads != 1 else ''}" if c.device == "cpu" else ""
    return f"{name} · {parameters(c.parameters)} · on {c.device.upper()}{threads} · {c.dtype} · attention by {c.attention}"


def model_name(name: str) -> str:
    """A checkpoint as the page calls it."""
    return name.rstrip("/").rpartition("/")[2] or MODEL_BUILT_IN


def span(seconds: float) -> str:
    """A time limit in words: 7200 -> "2 hours", 90 -> "90 seconds"."""
    for unit, name in ((3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or seconds == unit:
            n = seconds / unit
            return f"{n:.3g} {name}{'' if n == 1 else 's'}"
    return f"{seconds:.3g} seconds"


def place(before: int) -> str:
    """How long the queue is for a visitor who waits in it."""
    if before < 1:
        return QUEUED
    return f"{QUEUED}: {'one comes' if before == 1 else f'{before} come'} before you"


def limits(s: Settings) -> str:
    """What a clip may be."""
    longest = f"{s.max_clip_s / 60:.0f} minutes" if s.max_clip_s >= 120 else f"{s.max_clip_s:.0f} seconds"
    return f"mp4, mov, webm or mkv; up to {longest} and {s.max_file_mb:,.0f} MB. Uploads are deleted within {span(2 * s.keep_files_s)}."


def clip_line(duration_s: float, frames: int, fps: float, width: int, height: int, has_sound: bool) -> str:
    """The clip as it was read."""
    sound = "with sound" if has_sound else "without sound"
    return f"{seconds(duration_s)}, {width} × {height} pixels, {sound}; {count(frames)} frames read, {fps:.3g} per second"


def stage(name: str, arm: int | None) -> str:
    """What is being done now; while answering, by whom."""
    return STAGES[name] if name != "answer" or arm is None else f"{STAGES[name]}: {ARMS[min(arm, 1)]}"


def arm_line(label: str, target: float | None) -> str:
    """The compressed answer's title: the method, and what it was asked to keep."""
    return label if target is None else f"{label}, asked to keep {share(target)}"


def writing(timing: Timing) -> str:
    """The time of all tokens after the first, and their speed."""
    return duration(timing.decode_ms) if timing.tokens_per_s is None else f"{duration(timing.decode_ms)} · {rate(timing.tokens_per_s)}"


def agreement(found: Agreement | None) -> str:
    """How likely the full model's answer is here, and the place of its first word: "−0.21, 1st"."""
    if found is None:
        return UNKNOWN
    place = "1st" if found.first_rank == 1 else f"place {count(found.first_rank)}"
    return f"{round(found.mean_log_likelihood, 2) + 0.0:.2f}, {place}".replace("-", "−")


def likelihood(share_of_one: float) -> str:
    """A likelihood as people read it: 0.5 -> "50 %", 0.000012 -> "0.0012 %"."""
    percent = 100 * share_of_one
    return f"{percent:.0f} %" if percent >= 0.995 else f"{percent:.2g} %" if percent >= 1e-4 else f"{percent:.0e} %"


def run_name(run: Run) -> str:
    """A method and what it was asked to keep: "OmniZip 45 %"."""
    return run.label if run.retention_target is None else f"{run.label} {share(run.retention_target)}"


def versus(full: float | None, other: float | None, better: str, worse: str) -> str:
    """How `other` compares with `full` where less is better: "2.9× faster"; empty where unknown."""
    found = gain(full / other, better, worse) if full and other else None
    return "" if found is None else found[1] if found[1] == SAME else " ".join(found)


def speed_up(measured: float | None, allowed: float | None) -> str:
    """The gain in reading as measured beside the one the operations allow; empty where either is unknown."""
    said = [gain(x, "faster", "slower", "as fast") for x in (measured, allowed)]
    if None in said:
        return ""
    texts = [text if text == "as fast" else f"{figure} {text}" for figure, text in filter(None, said)]
    return CAN_BE_HAD.format(measured=texts[0], allowed=texts[1])


def shared_cost(timing: Timing) -> str:
    """What both answers share and no column contains."""
    read = "the file was read before" if timing.decode_clip_ms is None else f"reading the file {duration(timing.decode_clip_ms)}"
    return f"Shared by both and counted in neither: {read}, looking and listening {duration(timing.encode_ms)}."
