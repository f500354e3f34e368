"""The HTML report: one page that holds everything, of a film as it is or as a copy."""

import base64
import json
import re

import pytest
from clips import hevc, make_clip

from omnizip import media
from omnizip.cli.main import main
from omnizip.errors import MediaError
from omnizip.report import standalone
from omnizip.settings import Settings


def test_a_report_is_one_page_with_everything_inside(tmp_path):
    """Through the command line: the film as it is, the decisions and the JSON report within."""
    path = make_clip(tmp_path / "film.mp4", seconds=4, size=(160, 120))
    page = tmp_path / "report.html"
    settings = ["--max-new-tokens", "4", "--quiet", "--json", str(tmp_path / "report.json"), "--report", str(page)]
    status = main(["compare", str(path), "--question", "What is <b>seen</b>?", "--method", "omnizip", "--method", "random", *settings])
    assert status == 0
    text = page.read_text("utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', text.split("<script")[0]), "nothing is loaded from elsewhere"
    assert "<b>seen</b>" not in text and "&lt;b&gt;seen" in text
    data = json.loads(re.search(r'id="lens-data">(.*?)</script>', text, re.S).group(1))
    assert base64.b64decode(data["clip"]["source"]) == path.read_bytes()
    assert [m["label"].split(",")[0] for m in data["maps"]] == ["OmniZip", "Random"]
    report = json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.S).group(1))
    assert report == json.loads((tmp_path / "report.json").read_text())
    for run in report["runs"]:
        assert run["answer"].split()[0] in text


def test_a_report_cannot_go_to_a_folder_or_the_terminal(tmp_path, capsys):
    path = make_clip(tmp_path / "film.mp4", seconds=1, size=(64, 48))
    for target in ("-", str(tmp_path)):
        assert main(["compare", str(path), "--question", "What?", "--report", target]) == 2
        assert "--report" in capsys.readouterr().err


def test_a_film_browsers_cannot_play_travels_as_a_copy(tmp_path):
    clip = media.load(hevc(tmp_path), Settings())
    film, kind, note = standalone._film(clip, Settings())
    assert kind == "video/mp4" and "copy" in note and film != clip.path.read_bytes()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film)
    assert media.load(copy, Settings()).playable


def test_a_film_that_is_gone_is_told_in_a_sentence(tmp_path):
    clip = media.load(make_clip(tmp_path / "film.mp4", seconds=1, size=(64, 48)), Settings())
    clip.path.unlink()
    with pytest.raises(MediaError, match=r"film\.mp4 cannot be read any more"):
        standalone._film(clip, Settings())
