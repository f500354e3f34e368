"""What there is to say about a comparison, on the page, in the HTML report and in a terminal alike.

Sentences are data with named places, grouped by where they stand; the functions choose among them and fill them. A ratio
says in words which way it goes, and that nothing was gained where nothing was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import formats

if TYPE_CHECKING:
    from ..types import Agreement, Conditions, MachineLoad, Timing
    from .report import ClipRecord, Run

TITLE = "OmniZip"
LANGUAGE = "Language"

# The model and the clip
EMBEDDED = (  # markup
    "This small model is built like Qwen2.5-Omni and knows one little world: <b>coloured shapes and eight sounds</b>. "
    "For real footage choose Qwen2.5-Omni."
)
BUILT_IN = "{name} (built in)"
MODEL_LINE = "{name} · {parameters} · on {device} · {dtype} · attention by {attention}"
ONE_THREAD, THREADS = "{device}, 1 thread", "{device}, {n} threads"
PARAMETERS = (  # from how many on
    (1e9, "{n} billion parameters"),
    (1e6, "{n} million parameters"),
    (1e3, "{n} thousand parameters"),
    (1, "{n} parameters"),
)
CLIP_LINE = "{length}, {width} × {height} pixels, {sound}; {frames} frames read, {fps} per second"
WITH_SOUND, WITHOUT_SOUND = "with sound", "without sound"
STAGES = {
    "decode": "Reading the clip",
    "encode": "Looking and listening",
    "compress": "Choosing what to keep",
    "warm up": "Warming up, so that times are fair",
    "answer": "Answering",
    "repeat": "Reading both again, in turn, since one run of so short a time says little",
}

# The line of gains above the answers: better, worse, the same
TOKENS_READ = "of the tokens read"
SAVINGS = {
    "prefill": ("faster to read", "slower to read", "as fast to read"),
    "ttft": ("sooner to the first word", "later to the first word", "as soon to the first word"),
    "ttft_encoded": (
        "sooner with looking and listening counted",
        "later with looking and listening counted",
        "as soon with looking and listening counted",
    ),
    "kv_cache": ("less memory", "more memory", "as much memory"),
}
TIMES = ("prefill", "ttft", "ttft_encoded")  # of SAVINGS, what a busy machine may get wrong

# The answers
ASKED_TO_KEEP = "{label}, asked to keep {share}"
KEPT = "{label}, {share}"
NO_WORDS = "(It ended without a word.)"
SAME_WORDS = "Both answers are the same, word for word."
OTHER_WORDS = "Underlined words differ between the two."
OTHER_SPACES = "The answers differ only in spaces."

# The costs
COSTS = "What each answer cost"
VERSUS = "difference"
SAME = "the same"
NOT_ON_CPU = "not measured on CPU"
NOT_MEASURED = "not measured"
FASTER, LESS, FEWER = ("faster", "slower"), ("less", "more"), ("fewer", "more")
AS_FAST = "as fast"
COST_TOKENS = ("Tokens read", "by the language model")
COST_REUSED = ("of them known already", "read for an earlier question, not read again")
COST_PICTURE = ("of them picture", "")
COST_SOUND = ("of them sound", "")
COST_CHOOSING = ("Choosing", "deciding what to keep")
COST_READING = ("Reading", "all that was kept, at once (prefill)")
COST_ENCODING = ("Looking and listening", "both encoders, on what this answer needs of them")
COST_FIRST = ("First word after", "choosing, reading, first token")
COST_FIRST_ENCODED = ("First word, all counted", "looking and listening too, as if each answer had begun with the file read")
COST_WRITING = ("Writing", "the rest of the answer (decode)")
COST_CACHE = ("Memory to remember it", "keys and values (KV cache)")
COST_PEAK = ("Peak memory", "of the whole device")
COST_AGREEMENT = ("Agreement", "how likely it finds the full model's answer: nats per word piece, 0 is certain")
COST_OPERATIONS = ("Operations to read", "FLOPs: floating-point operations")
FIRST_PLACE, PLACE = "1st", "place {n}"
CAN_BE_HAD = "Reading was {measured}; by the operations counted it could be {allowed}."
BEYOND_ONCE = " What goes beyond that is noise: each was timed once, on a machine that may have been doing other things."
BEYOND_OFTEN = " What goes beyond that is noise, though each is the median of {n} runs: the machine may have been doing other things."
NOISE_MARK = "{gain} (noise)"
TIMED_AGAIN = "Reading was timed {n} times each, in turn, after both answers; the medians are shown."
MACHINE_LOAD = "Load of the machine meanwhile: {load} on {cores} cores."
NOISE = 1.1  # a gain beyond what operations and tokens allow, times this, is of the clock
CHOSEN_ANEW = "{label} looks at the question: for this one it chose anew, and read again what it kept."
SHARED_COST = "Shared by both and counted in neither: {read}."
REUSED = "{time}, reused"
ENCODING_REUSED = "Where an answer needs the very same looking or listening as another, it was done once; each is billed the time it takes."
READ_BEFORE, READ_NOW = "the file was read before", "reading the file {decode}"

# Where the first word looked
FIRST_WORD = "Where each first word looked"
FIRST_WORD_HINT = (
    "What every two seconds got of the attention in the model's last layer when the first word was chosen; darker is more, on one scale "
    "for both. The rest went to the question and other text. It says what was looked at, not why."
)
FIRST_WORD_MOST = "{label}: most at {most}; {all} of all went to the clip"
FIRST_WORD_NONE = "{label}: nothing of the clip"
FIRST_WORD_SPAN = "{start:g}–{end:g} s ({share})"

# Where every token went
REASONS = "Where every token went"
REASON_WORDS = {
    "salient": ("heard as important", "sound that receives much attention"),
    "anchor": ("anchors", "kept to stand for the minor sound around them"),
    "density_peak": ("typical places", "the centre of a group of alike patches"),
    "change": ("changes", "patches unlike the same place a second before"),
    "method_score": ("chosen by the method", "kept by the method's own rule"),
    "folded": ("folded in", "not read themselves, merged into a kept token"),
    "dropped": ("dropped", "not read"),
    "unseen": ("never looked at", "not even encoded"),
    "text": ("text", "the question and markers"),
}
LOOKED_AT = ("looked at, then dropped", "encoded, but not read")  # of what was dropped where other parts were never looked at
MODALITY_TOKENS = {"audio": "Sound: {n} tokens", "video": "Picture: {n} tokens"}

# The HTML report
FILM_SMALLER = "The film shown here is a smaller copy; the models read the original."
FILM_PART = "The film shown here is a copy of the chosen part and sound; the models read the original."
FILM_COPY = "Browsers cannot play the original, so this is a copy; the models read the original."
SETTINGS = "Settings"
SETTINGS_NONE = "none"
SAMPLING = ("sampling", "temperature {temperature:g}, top_p {top_p:g}, seed {seed}, at most {max_new_tokens} tokens")
VERSIONS = "versions"
SAVE_JSON = "Save the report as JSON"

# The lens, for assets/lens/, where {name} stands for a value
LENS: dict[str, Any] = {
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
    "part": "Part to compare",
    "part_hint": "drag the ends",
    "part_start": "Start of the part to compare",
    "part_end": "End of the part to compare",
    "compare_part": "Compare {start} to {end}",
    "clock": "{now} of {end}",
    "window": "Window {n}",
    "of_windows": "{span} · of {count}",
    "views": {
        "kept": ("Kept", "What the model reads, bright; the rest dimmed"),
        "dropped": ("Dropped", "What the model does not read, bright"),
        "reason": ("Why", "Why each patch was kept, or was not read"),
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
        "unseen": "never looked at",
        "looked": "looked at, then dropped",
        "lost": "dropped or never looked at",
        "as_is": "kept as it is",
        "both": "both",
        "only": "only {label}",
        "neither": "neither",
    },
    "kept_because": "kept: {why}",
    "no_folds": "No patch was folded here. {folding}; the light marks under the sound are anchors that absorbed minor sound.",
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
        "one": "Window {n}, {span}: {what}.",
        "two": "Window {n}, {span}. {a}: {what_a}. {b}: {what_b}.",
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
        "frames": ("Frames", "coloured like the clip"),
        "rates": ("Picture dropped", "per 2 s; dashed: budget"),
        "bars": ("Sound kept", "per 2 s; light: anchors"),
        "wave": ("Sound", "brighter: more attention"),
        "ticks": ("", "the sound tokens kept"),
    },
}
LENS_FOLDING = "{label} folds picture with its option “{option}” on “{choice}”"  # of every method that can


def parameters(n: int) -> str:
    """8_930_000_000 -> "8.93 billion parameters"."""
    for least, text in PARAMETERS:
        if n >= least:
            return text.format(n=f"{n / least:.3g}")
    return PARAMETERS[-1][1].format(n=n)


def model_line(c: Conditions) -> str:
    """The model and the machine that every number depends on."""
    device = c.device.upper()
    if c.device == "cpu":
        device = (ONE_THREAD if c.threads == 1 else THREADS).format(device=device, n=c.threads)
    name = BUILT_IN.format(name=c.model) if c.embedded else c.model
    line = MODEL_LINE.format(name=name, parameters=parameters(c.parameters), device=device, dtype=c.dtype, attention=c.attention)
    return " · ".join([line, *c.notes])


def clip_line(clip: ClipRecord) -> str:
    """The clip as it was read."""
    return CLIP_LINE.format(
        length=formats.seconds(clip.duration_s),
        width=clip.width,
        height=clip.height,
        sound=WITH_SOUND if clip.has_sound else WITHOUT_SOUND,
        frames=formats.count(clip.frames),
        fps=f"{clip.fps:.3g}",
    )


def asked_title(label: str, target: float | None) -> str:
    """The title of a compressed answer: the method, and what it was asked to keep."""
    return label if target is None else ASKED_TO_KEEP.format(label=label, share=formats.share(target))


def kept_title(label: str, kept: float | None) -> str:
    """The title of a decision: the method, and the share of the clip it kept."""
    return KEPT.format(label=label, share=formats.share(kept))


def run_name(run: Run) -> str:
    """A method and what it was asked to keep, shortly: "OmniZip 45 %"."""
    return run.label if run.retention_target is None else f"{run.label} {formats.share(run.retention_target)}"


def gain(x: float | None, better: str, worse: str, same: str = SAME) -> tuple[str, str] | None:
    """A ratio full / compressed as (figure, words): 2.9 -> ("2.9×", better), 0.5 -> ("2.0×", worse); None where unknown."""
    if x is None or x <= 0:
        return None
    if 0.95 < x < 1.05:
        return "1.0×", same
    return (formats.times(x), better) if x > 1 else (formats.times(1 / x), worse)


def savings(ratios: dict[str, float | None]) -> list[tuple[str, str]]:
    """What was read and what that saved as (figure, words), from RunReport.ratios.

    The unknown is left out, and so are times that gained more than operations and tokens allow.
    """
    tokens = ratios.get("tokens")
    parts: list[tuple[str, str] | None] = [(formats.share(1 / tokens), TOKENS_READ) if tokens else None]
    for name, words in SAVINGS.items():
        ratio = ratios.get(name)
        parts.append(None if name in TIMES and is_noise(ratio, ratios) else gain(ratio, *words))
    return [part for part in parts if part is not None]


def is_noise(gained: float | None, ratios: dict[str, float | None]) -> bool:
    """Whether a time gained more than operations, or bytes that grow with the tokens, allow; from RunReport.ratios."""
    most = max((ratios.get(name) or 0.0 for name in ("tokens", "flops", "flops_encoded")), default=0.0)
    return gained is not None and bool(ratios.get("flops")) and gained > NOISE * most


def difference(first: str, second: str, differs: bool) -> str:
    """One line under two answers; `differs` says whether any of their words do."""
    if first.strip() == second.strip():
        return SAME_WORDS
    return OTHER_WORDS if differs else OTHER_SPACES


def versus(full: float | None, other: float | None, better: str, worse: str) -> str:
    """How `other` compares with `full` where less is better: "2.9× faster"; empty where unknown."""
    found = gain(full / other, better, worse) if full and other else None
    return "" if found is None else found[1] if found[1] == SAME else " ".join(found)


def speed_up(measured: float | None, allowed: float | None, runs: int = 1) -> str:
    """The gain in reading as measured, in so many runs, beside the one the operations allow; empty where either is unknown."""
    gains = [gain(x, *FASTER, AS_FAST) for x in (measured, allowed)]
    if None in gains:
        return ""
    texts = [text if text == AS_FAST else f"{figure} {text}" for figure, text in filter(None, gains)]
    beyond = (BEYOND_ONCE if runs == 1 else BEYOND_OFTEN.format(n=runs)) if (measured or 0.0) > NOISE * (allowed or 0.0) else ""
    return CAN_BE_HAD.format(measured=texts[0], allowed=texts[1]) + beyond


def timed(runs: int, load: MachineLoad | None) -> str:
    """How often reading was timed, and on how busy a machine; empty where there is nothing to say."""
    often = [TIMED_AGAIN.format(n=runs)] if runs > 1 else []
    busy = [MACHINE_LOAD.format(load=f"{load.average[0]:.1f}", cores=load.cores)] if load and load.average and load.cores else []
    return " ".join([*often, *busy])


def shared_cost(timing: Timing) -> str:
    """What both answers share and no column contains."""
    read = READ_BEFORE if timing.decode_clip_ms is None else READ_NOW.format(decode=formats.duration(timing.decode_clip_ms))
    return SHARED_COST.format(read=read)


def encoding(timing: Timing) -> str:
    """The time of a run's own looking and listening, and whether it was there already."""
    time = formats.duration(timing.encode_ms)
    return REUSED.format(time=time) if timing.encode_reused else time


def writing(timing: Timing) -> str:
    """The time of all tokens after the first, and their speed where there is one."""
    time = formats.duration(timing.decode_ms)
    return time if timing.tokens_per_s is None else f"{time} · {formats.rate(timing.tokens_per_s)}"


def agreement(found: Agreement | None) -> str:
    """How likely the full model's answer is here, and the place of its first word: "−0.21, 1st"."""
    if found is None:
        return formats.UNKNOWN
    place = FIRST_PLACE if found.first_rank == 1 else PLACE.format(n=formats.count(found.first_rank))
    return f"{round(found.mean_log_likelihood, 2) + 0.0:.2f}, {place}".replace("-", "−")
