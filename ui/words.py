"""Every sentence the page shows, grouped by where it stands; {name} stands for a value. Methods bring their own names.

What the page shares with the HTML report and the command line is in omnizip.report.wording, numbers in omnizip.report.formats.
"""

from __future__ import annotations

from omnizip.report.wording import STAGES
from omnizip.settings import Settings

# The top of the page: its name, the model that answers
TAGLINE = "The same question, answered twice: by the full model, and by one that reads only what the sound says is worth reading."
MODEL = "Which model answers"
MODEL_BUILT_IN = "the small built-in model"
MODEL_LOADING = "Loading {name}. The page is ready; answers come once the model is."
MODEL_FETCHING = "Downloading {name}. The page is ready; answers come once the model is. What has come is kept if this stops."
MODEL_WAIT = "The model is still being loaded; wait until the line at the top of the page names it."
MODEL_STAGES = {  # what a comparison says that waits for it
    "download": "The model is being downloaded; your turn comes once it is here",
    "load": "The model is being loaded; your turn comes once it is here",
}
MODEL_OTHER = "Choose another model at the top of the page; the built-in one always works."
MODEL_FAILED = "{name} could not be loaded, for a reason that the server's log tells."
MEMORY_FREE = "{size} of memory free"
COPIES = "{n} copies answer"

# The left column: the clip
CLIP = "Clip"
CLIP_EXAMPLES = "Try one of these, or bring your own"
EXAMPLES = {
    "bell.mp4": ("The bell", "What colour is the shape when the bell rings?"),
    "green-heart.mp4": ("Green heart, portrait", "What sound plays when the green heart appears?"),
    "whistle.mp4": ("Whistle, nothing to see", "Which sound comes first?"),
    "stripes.mp4": ("Stripes", "How many shapes appear?"),
    "music.mp4": ("Hard: music over silent shapes", "Which shape comes last?"),
    "two-hearts.mp4": ("Two hearts", "Describe the clip."),
}
EXAMPLES_UNREAD = "The examples cannot be read from {folder}: {list} ({why}); put one there, or leave --examples away."
EXAMPLES_NONE = "{folder} offers no examples: {list} is a list of 1 to {most} entries."
EXAMPLES_ENTRY = (
    "Entry {number} of {list} needs a file, a title and a question of at most {most} characters each, and as `at` a second of the clip."
)
EXAMPLES_FILE = "Entry {number} of {list} names {file}, which does not lie beside it."
LIMITS = "mp4, mov, webm or mkv; up to {longest} and {size} MB. Uploads are deleted within {kept}."
MINUTES, SECONDS = "{n} minutes", "{n} seconds"
SPANS = ((3600, "{n} hour", "{n} hours"), (60, "{n} minute", "{n} minutes"), (1, "{n} second", "{n} seconds"))  # from how many seconds on
PART = "Part of the clip"
PART_START, PART_END = "Start, in minutes and seconds", "End, in minutes and seconds"
PART_DRAG_START, PART_DRAG_END = "Start of the part", "End of the part"
SOUND = "Sound"
SOUND_WITH, SOUND_WITHOUT = "With sound", "Without sound"
SOUND_MAIN = "Main sound"
SOUND_TRACK = "Sound {n}"  # and its language and title
OPEN_GIF = "Open a gif, MOV, ts, avi, ..."
GIF_OPENED = "The file was turned into an mp4, so that it can be played."
UNPLAYABLE = "This browser may not play the file; it was read all the same."

# The left column: the question and the method
QUESTION = "Question"
QUESTION_HINT = "What happens in this clip, and what can be heard?"
RETENTION = "How much to keep (retention)"
PRESETS = {"45 %": 0.45, "35 %": 0.35, "25 %": 0.25}
CUSTOM = "custom"
RETENTIONS = (*PRESETS, CUSTOM)
METHOD = "Method"
ADVANCED = "Advanced settings, and the paper's"
PAPER_MENU = "The paper's settings (Table 1 and ablations)"
PAPER_NONE = "none of them"
PAPER = {  # what the menu calls it, and what the paper says of it
    "45": (
        "45 % of the clip: 0.3 of the sound pruned, 0.6 of the picture",
        "99.1 % of the full model on average (Table 1: AVUT 63.0, VideoMME 66.3, ShortVid 69.9), at 39 % of its operations.",
    ),
    "35": (
        "35 % of the clip: 0.4 of the sound pruned, 0.7 of the picture",
        "97.6 % of the full model on average (Table 1: AVUT 61.0, VideoMME 66.1, ShortVid 69.0), at 29 % of its operations.",
    ),
    "no-dp": (
        "Ablation: 45 % without dynamic pruning (DP)",
        "AVUT 62.0, WorldSense 45.0, ShortVid 69.3; the whole method: 63.0, 45.9 and 69.9.",
    ),
    "no-dp-ac": (
        "Ablation: 45 % without dynamic pruning and audio anchors (DP, AC)",
        "AVUT 61.7, WorldSense 44.8, ShortVid 69.0; the whole method: 63.0, 45.9 and 69.9.",
    ),
    "g15": (
        "45 % with fifteen merged per anchor (G = 15)",
        "AVUT 63.0 and WorldSense 45.5; with G = 3: 62.5 and 45.9.",
    ),
}
PAPER_PUBLISHED = "Published, 7B: {figures} Another model, other clips: not what you see here."
ADVANCED_NONE = "This method has nothing to set."
COMPARE = "Compare"
STOP = "Stop"

# The status below the buttons
ANSWERING = "{stage}: {arm}"
ARMS = ("the full model", "the compressed one")
QUEUED = "Waiting for its turn"
COPY_BUSY = "Waiting for the copy of the model that this clip goes to."
BEFORE_ONE, BEFORE = "One comes before you.", "{n} come before you."
STOPPED = "Stopped. What is written so far stays."
DONE = "Done."
RUN_FAILED = "That ended without an answer: too many are waiting, or something went wrong. Press Compare again."
NO_CLIP = "Pick a clip first: upload one, record one, or take an example."
NO_QUESTION = "Type a question first, such as “{hint}”"
NO_CHAT = "There is no answer to ask on about yet; press Compare first."
BAD_RETENTION = "The retention is {given!r}; give one of 45 %, 35 %, 25 % or custom, or a share such as 0.4."
LINK_BROKEN = "The link could not be followed ({what}), so this is the page as it always starts."
LINK_WHAT = {
    "example": "there is no such example",
    "question": "the question is missing or too long",
    "method": "there is no such method",
    "keep": "there is no such share to keep",
    "over": "there is no such method to lay over it",
    "option": "a setting is unknown or out of range",
    "part": "there is no such part or sound",
}

# The guided first visit
HINTS = (
    "Pick a clip, or bring yours",
    "Say how much to keep",
    "Play it: bright is what was read",
)
HINTS_LABEL = "How to begin"
HINTS_DONE = "Got it"

# The answers
FIRST_LOOK = "An example computed earlier ({day}, {device}, threads: {threads}{load}). Press Compare to run it here."
FIRST_LOOK_LOAD = "load {load} on {cores} cores"
FULL_EMPTY = "The full model's answer will appear here. It reads every token of picture and sound."
COMPRESSED_EMPTY = "Beside it, the answer of the model that reads only what was kept, so that the two can be compared word by word."
HEADLINE_EMPTY = "Pick a clip, ask something, press Compare."
WAITING = "Its turn comes next: the two run one after the other, so that times are fair."
COMING = "Reading…"
FOLLOW_UP = "Ask on about the same clip"
FOLLOW_UP_HINT = "Both models keep their own conversation. The clip is not read again."
FOLLOW_UP_EMPTY = "And what comes after that?"
ASK_ON = "Ask on"
NEW_CHAT = "New chat"

# What the sound changed
SOUND_ASK = "What did the sound change?"
SOUND_HEARD, SOUND_UNHEARD = "{label}, with sound", "{label}, without sound"
SOUND_ARMS = "{stage}: with sound", "{stage}: without sound"
SOUND_ORIGIN = (
    "The same clip, question and method ({method}), once with its sound and once without. Without it nothing is heard, and no sound "
    "guides which parts of the picture are kept."
)
SOUND_SAME_PICTURE = "{share} of the picture that was kept with sound was kept without it, too ({n} of {total} tokens)."
SOUND_COUNTS = "Read with sound: {with_audio} tokens of sound and {with_video} of picture; without: {without_video} of picture."
SOUND_NONE = "This clip was read without sound; choose one and press Compare first."

# What was kept: the lens
KEPT = "What was kept"
KEPT_EMPTY = "After the first answer this shows which moments and which parts of the picture were kept, second by second, and why."
KEPT_OF_ANSWER = "This is what {label} read for the answer above: {share} of the clip."
KEPT_OF_PREVIEW = "With the settings at the left {label} would read {share} of the clip. Press Compare for its answer."
OVER = "Lay over it, to compare"
OVER_ANSWER = "answer"
OVER_ANSWERED = "{label} (answer)"  # where both have the same name
OVER_CHOICES = (("nothing", ""), ("What the answer was given with", OVER_ANSWER))
LENS_PART = "The film is a copy of the chosen part and sound; the models read the original."
LENS_UNWRITTEN = "The film to play here could not be written ({why}); the answers stand. Tell whoever runs this page."
LENS_COPY = "Browsers cannot play this file, so a copy is shown here; the models read the original."

# What was kept: the charts, the video, the files
CHARTS = "Charts and counts"
TIME_CHART = "Over time"
TIME_CHART_HINT = "Where more of the sound is kept, less of the picture is dropped."
AXIS_SHARE = "share of tokens"
AXIS_TIME = "time in the clip (s)"
AXIS_WAVE = "sound"
SOUND_KEPT = "sound kept"
PICTURE_DROPPED = "picture dropped"
PICTURE_MEAN = "its mean over the clip"
NO_SOUND = "no sound"
HOVER_WINDOW = "<b>{start:g}–{end:g} s</b>  window {n}"
HOVER_SHARE = "{name}: {share}, {n} of {total} tokens"
VIDEO = "As a video, with sound"
MAKE_VIDEO = "Make the video"
MAKING_VIDEO = "Drawing the video…"
NO_MAP = "There is nothing to draw yet; press Compare first."
VIDEO_HINT = "The sampled frames as the model sees them, with what was dropped dimmed. Made in a few seconds, ready to play and save."
DOWNLOADS = "Take it with you"
DOWNLOADS_HINT = "The report holds settings, conditions, both answers, every time and count; the windows are one row per two seconds."
REPORT_JSON = "Report (JSON)"
WINDOWS_CSV = "Windows (CSV)"

# The methods side by side
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
YES, NO = "yes", "no"
METHODS_CACHE_HINT = "Cache: what the model remembers of the prompt and its answer. The peak of all memory is not measured on CPU."
METHODS_AGREEMENT_HINT = (
    "Agreement: how likely the full model's answer is to a model that read only what was kept, as mean logarithm per token: 0 is certain, "
    "−0.7 one in two, −4.6 one in a hundred. Behind it, the place of that answer's first word among all possible ones."
)
METHODS_TOKENS_HINT = "Tokens of methods that choose inside the model ({methods}) are means over its layers."
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

# What visitors and programs may do
HALF_A_LOGIN = "{given} is set and {missing} is not; set both to ask visitors for a login, or neither."
NO_MCP = "MCP needs the package mcp, which is not installed; run pip install -r requirements-mcp.txt, or leave --mcp away."
UPLOADED_ENOUGH = "One visitor may upload {limit} within an hour, and this file goes beyond that; wait, or send a smaller one."
UPLOAD_FIELDS = "The upload has parts that are no files; send each file as a part named files, and nothing else."
REQUEST_LONG = "The request is longer than {limit}; send less, and clips as uploads."
REQUEST_DEEP = "The request is nested too deeply; send a plain one."
NOT_FETCHED = "The clip is an address, and nothing is fetched here; upload the file itself, with gradio_client's handle_file."
NO_SUCH_ROUTE = "There is nothing here; the page is at /, what programs may call at /gradio_api/info."
SERVER_STOPS = "The server is being stopped; ask again in a while."
NO_PORT = "The page cannot listen on {host}, port {port} ({why}); give another --port, or end what listens there."
PORT_TAKEN = "Address already in use"
FILES_LOST = "The answer stands; its files could not be written ({why}); tell whoever runs this page, then ask again."
DISK_FULL = "the server's disk is full"
MODEL_KEPT = "{problem} So {name} answers on."
MODEL_FIXED = "The model is chosen by whoever runs this page."
WAITS_ENOUGH = "You already wait for {most} answers; ask again when one of them is there."
LOGIN_ENOUGH = "That were {tries} failed tries at a login within {span}; wait, and try again."
MCP_AND_LOGIN = "Agents over MCP cannot give a login; leave --mcp away, or unset OMNIZIP_USER and OMNIZIP_PASSWORD."
KEY_SHORT = (
    "{name} is too short, or has spaces or signs beyond ASCII; give {least} characters at least, as openssl rand -hex 24 makes them."
)
LOGIN_NO_KEY = "Programs in OpenAI's form give no login; set {name} to ask them for a key, or leave --openai away."
KEY_WRONG = "The API key is missing or wrong; send the one whoever runs this server gave you, as Authorization: Bearer KEY."
NOT_JSON = "The body is no JSON; send an object with model and messages."
NOT_JSON_TYPE = "The body's type is not application/json; send it with Content-Type: application/json."
NO_MODEL = "There is no model {asked!r} here; /v1/models names the one that answers."
QUEUE_FULL = "{most} are waiting already; ask again in a while."
CALL_LEFT = "Nobody waits for the answer any more."
QUESTION_LONG = "The question has {given} characters; ask one of at most {most}."
CHAT_LONG = "This conversation has {given} questions already; begin a new one."
CALL_KIND = "{name} is {given}; give {wanted}."
CALL_WANTED = {  # what to give for it
    "text": "a text",
    "question": "a question about the clip",
    "method": "the name of a method",
    "methods": "a list of names",
    "each method": "names of methods",
    "options": "names with values",
    "rate": "a share from 0 to 1",
    "retention": "a share above 0 and up to 1, such as 0.45",
    "seconds": "a number of seconds",
    "audio_track": "the number of a sound track, main or none",
}
CALL_MEMORY = "The server ran out of memory; send a shorter clip or ask again later."
CALL_FAILED = "The call failed for a reason that the server's log tells; try another clip or other settings."
METHODS_NUMBER = "That names {given} methods; name at most {most}."
METHODS_TWICE = "methods names {name} twice; name each method once."
RATE_ALONE = "{given} is given without {missing}; give both, or a retention alone."
RATE_TWICE = "{name} is given twice, as an argument and among the options; give it once."
RATE_HIDDEN = "A retention replaces {name} among the options; leave {name} out, or send {custom!r} as the retention."
CALL_UNKNOWN = "{call} has no argument {name}; it takes {names}."
CALL_MISSING = "{call} needs the argument {name}; send it too."
CALL_COUNT = "{call} takes {most} values in data and got {given}; send them in this order: {names}."
CALL_NONE = "There is no call {name}; there are {names}."
NO_ARGUMENTS = "none"
CALL_EMPTY = "{call} takes no arguments; send an empty list as data."
NOT_UPLOADED = "The clip is not an upload, nor an example of this page; send the file itself, with gradio_client's handle_file."
REQUEST_KIND = "The request is no JSON object; send one, with application/json as its content type."
REQUEST_FIELD = "{name} in the request is missing or of the wrong kind; send {wanted}."
REQUEST_OTHER = "what /gradio_api/info describes"
REQUEST_DATA, REQUEST_EVENT, REQUEST_SESSION = "a list of values", "the number of an event of this page", "a text of your own choice"
ANSWER_GONE = (
    "No answer waits under that name: each is told once, and dropped if nobody collects it within {kept} or once {most} newer ones "
    "wait; ask again."
)


def model_name(name: str) -> str:
    """A checkpoint as the page calls it."""
    return name.rstrip("/").rpartition("/")[2] or MODEL_BUILT_IN


def span(seconds: float) -> str:
    """A time limit in words: 7200 -> "2 hours", 90 -> "90 seconds"."""
    for unit, one, several in SPANS:
        if seconds >= 2 * unit or seconds == unit or unit == 1:
            n = seconds / unit
            return (one if n == 1 else several).format(n=f"{n:.3g}")
    raise ValueError("SPANS is empty")


def limits(s: Settings) -> str:
    """What a clip may be."""
    longest = MINUTES.format(n=f"{s.max_clip_s / 60:.0f}") if s.max_clip_s >= 120 else SECONDS.format(n=f"{s.max_clip_s:.0f}")
    return LIMITS.format(longest=longest, size=f"{s.max_file_mb:,.0f}", kept=span(2 * s.keep_files_s))


def place(before: int) -> str:
    """How many come before a visitor who waits in the queue; nothing where nobody does."""
    return "" if before < 1 else BEFORE_ONE if before == 1 else BEFORE.format(n=before)


def stage(name: str, arm: int | None, ahead: int = 0) -> str:
    """What is being done now; while answering, by whom; while waiting for a copy of the model, how many come before."""
    if name in MODEL_STAGES:
        return MODEL_STAGES[name]
    if name == "wait":
        return f"{COPY_BUSY} {place(ahead)}".strip()
    return STAGES[name] if name != "answer" or arm is None else ANSWERING.format(stage=STAGES[name], arm=ARMS[min(arm, 1)])
