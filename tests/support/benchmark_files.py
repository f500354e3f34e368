"""Downloads of every benchmark in small: clips of the synthetic world, and annotation files in the official formats, both our own.

The right answers are the world's own truth, so that a model which knows the world scores above one that does not.
"""

import json
from pathlib import Path

from omnizip.evaluation.dataset import Choice
from omnizip.evaluation.world import render

CHOICE = Choice(seconds=2.0, per_clip=2, describe_every=0)
OTHERS = ("red", "a drum", "square", "7", "a chord of bells")
CLIPS = 3
CLASSES = (["Event"], ["Event", "Music"], ["Speech"])


def options_of(question, number):
    """Four texts, the right one at a place that changes, and its letter."""
    wrong = [text for text in OTHERS if text != question.answer][:3]
    place = number % 4
    return [*wrong[:place], question.answer, *wrong[place:]], "ABCD"[place]


def asked():
    """(clip number, question number, question, options, letter) of all."""
    count = 0
    for clip in range(CLIPS):
        for number, question in enumerate(CHOICE.questions(clip)):
            yield clip, number, question, *options_of(question, count)
            count += 1


def lettered(options):
    return [f"{letter}. {text}" for letter, text in zip("ABCD", options, strict=False)]


def write_videos(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            render.write_mp4(CHOICE.scene(number), target)


def worldsense(folder: Path) -> str:
    found = {}
    for clip, number, question, options, letter in asked():
        facts = {"duration": 2.0, "domain": ("Games", "Music")[clip % 2], "sub_category": "x", "audio_class": CLASSES[clip]}
        entry = found.setdefault(f"clip{clip}", facts)
        task = {"question": question.text, "candidates": lettered(options), "answer": letter, "task_type": question.kind}
        entry[f"task{number}"] = task
    (folder / "worldsense_qa.json").write_text(json.dumps(found))
    write_videos(folder / "videos", [f"clip{n}.mp4" for n in range(CLIPS)])
    return "worldsense_qa.json"


def videomme(folder: Path) -> str:
    rows = [
        {
            "video_id": f"{clip:03d}",
            "duration": ("short", "medium", "long")[clip],
            "domain": "Knowledge",
            "sub_category": "x",
            "videoID": f"clip{clip}",
            "question_id": f"{clip:03d}-{number + 1}",
            "task_type": question.kind,
            "question": question.text,
            "options": lettered(options),
            "answer": letter,
        }
        for clip, number, question, options, letter in asked()
    ]
    (folder / "videomme.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_videos(folder / "data", [f"clip{n}.mp4" for n in range(CLIPS)])
    (folder / "subtitle").mkdir()
    srt = "1\n00:00:00,000 --> 00:00:01,000\n<i>Something rings.</i>\n\n2\n00:00:01,000 --> 00:00:02,000\nSomething rings.\nIt stops.\n"
    (folder / "subtitle" / "clip0.srt").write_text(srt)
    return "videomme.jsonl"


def avut(folder: Path) -> str:
    rows = [
        {
            "QA_id": f"q{clip}_{number}",
            "video_path": f"clip{clip}.mp4",
            "question": question.text,
            **{f"option_{name}": text for name, text in zip("ABCD", options, strict=True)},
            "answer": letter,
            "task_type": ("Event Location", "Object Matching")[number % 2],
        }
        for clip, number, question, options, letter in asked()
    ]
    (folder / "AV_Human_data.json").write_text(json.dumps(rows))
    write_videos(folder / "videos", [f"clip{n}.mp4" for n in range(CLIPS)])
    return "AV_Human_data.json"


def shortvid(folder: Path) -> str:
    rows = [
        {
            "video": f"videos/clip{clip}.mp4",
            "question": question.text,
            "candidates": options,
            "answer": letter,
            "problem_type": question.kind,
            "data_type": "video",
        }
        for clip, number, question, options, letter in asked()
    ]
    (folder / "ShortVid-Bench-1k.json").write_text(json.dumps(rows))
    write_videos(folder / "videos", [f"clip{n}.mp4" for n in range(CLIPS)])
    return "ShortVid-Bench-1k.json"


def dailyomni(folder: Path) -> str:
    rows = [
        {
            "Question": question.text,
            "Choice": lettered(options),
            "Answer": letter,
            "video_id": f"clip{clip}",
            "Type": "AV Event Alignment",
            "video_duration": ("30s", "60s")[clip % 2],
            "video_category": "x",
        }
        for clip, number, question, options, letter in asked()
    ]
    (folder / "qa.json").write_text(json.dumps(rows))
    write_videos(folder / "Videos", [f"clip{n}/clip{n}_video.mp4" for n in range(CLIPS)])
    return "qa.json"


def omnivideobench(folder: Path) -> str:
    found = {}
    for clip, number, question, options, letter in asked():
        entry = found.setdefault(clip, {"video": f"clip{clip}", "duration": "00:02", "questions": []})
        right = question.answer if number % 2 else letter  # both ways of naming it
        row = {"question": question.text, "options": lettered(options) if number % 2 == 0 else options}
        entry["questions"].append({**row, "correct_option": right, "question_type": question.kind, "audio_type": "sound"})
    (folder / "data.json").write_text(json.dumps(list(found.values())))
    write_videos(folder / "videos", [f"clip{n}.mp4" for n in range(CLIPS)])
    return "data.json"


def captions(folder: Path) -> str:
    rows = [{"video": f"clip{n}.mp4", "events": ["A bell rings.", "A red circle falls."]} for n in range(CLIPS)]
    (folder / "video_salmonn2_test.json").write_text(json.dumps(rows))
    write_videos(folder / "video", [f"clip{n}.mp4" for n in range(CLIPS)])
    return "video_salmonn2_test.json"


FORMATS = {f.__name__: f for f in (worldsense, videomme, avut, shortvid, dailyomni, omnivideobench, captions)}
