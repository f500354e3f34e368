"""Where the command line writes: only the target's own faults are told as the target's."""

import os
from pathlib import Path

import pytest

from omnizip.cli import console
from omnizip.errors import OmniZipError


def test_a_fault_of_the_renderer_is_not_blamed_on_the_file(tmp_path):
    def render():
        return (tmp_path / "assets" / "style.css").read_text()  # an asset that is not there

    target = tmp_path / "report.html"
    target.write_text("what was there before")
    with pytest.raises(FileNotFoundError, match="style.css"):
        console.write(str(target), render)
    assert target.read_text() == "what was there before"


def test_a_target_that_cannot_be_written_is_told_after_rendering(tmp_path):
    rendered = []
    with pytest.raises(OmniZipError, match=r"report.json could not be written \(No such file or directory\)"):
        console.write(str(tmp_path / "gone" / "report.json"), lambda: rendered.append(1) or "{}")
    assert rendered == [1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_the_targets_fault():
    with pytest.raises(OmniZipError, match=r"/dev/full could not be written \(No space left on device\)"):
        console.write("/dev/full", lambda: "{}")


def test_nothing_is_rendered_without_a_target_and_standard_output_gets_the_text(capsys):
    console.write(None, lambda: pytest.fail("rendered for nobody"))
    console.write("-", lambda: "a\nb\n")
    assert capsys.readouterr().out == "a\nb\n"


def test_what_is_no_text_is_written_escaped(tmp_path):
    name = os.fsdecode(b"clip\xff.mp4")
    console.write(str(tmp_path / "out.txt"), lambda: name)
    assert (tmp_path / "out.txt").read_text() == "clip\\udcff.mp4"


def test_an_answer_is_written_as_it_grows_and_again_where_it_changes(capsys):
    output = console.LiveOutput(answers=True, progress=False)
    output.show_progress("not a terminal")
    output.begin_answer("OmniZip")
    for text in ("A red", "A red star", "A blue"):
        output.extend_answer(text)
    output.end_answer()
    out, err = capsys.readouterr()
    assert (out, err) == ("OmniZip\n  A red star\n  A blue\n\n", "")


def test_progress_lines_replace_each_other(capsys):
    output = console.LiveOutput(answers=False, progress=True)
    output.show_progress("Encoding")
    output.begin_answer("OmniZip")
    output.extend_answer("A red star")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "\r\x1b[KEncoding\r\x1b[K")
