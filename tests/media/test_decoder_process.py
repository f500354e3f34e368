"""The decoder's process: its messages, its limits, what it may open, what a broken one does to the caller, and when it ends."""

import json
import os
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from clips import make_clip, time_shown

from omnizip import media
from omnizip.errors import MediaError
from omnizip.media import Cancelled, decoder_process
from omnizip.media.decoder.container import CONTAINERS
from omnizip.media.frame_buffer import load_while
from omnizip.settings import Settings

ROOT = decoder_process.DECODER.parents[3]
JOB = {"mode": "frames", "fps": 2, "max_frames": 128, "pixels": 320 * 240, "max_clip_s": 60, "cpu_s": 60, "memory_bytes": 2 * 10**9}


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("decoder") / "clip.mp4")


def messages(path, **changes) -> tuple[list[tuple[bytes, bytes]], int]:
    """All messages of one run of the program, and its exit status."""
    held_open, ours = os.pipe()
    with open(path, "rb") as source:
        job = JOB | {"source": source.fileno()} | changes
        run = subprocess.run(
            [sys.executable, "-I", decoder_process.DECODER, json.dumps(job)],
            stdin=held_open,
            stdout=subprocess.PIPE,
            pass_fds=[source.fileno()],
            timeout=60,
        )
        os.close(held_open)
        os.close(ours)
    found, at = [], 0
    while at < len(run.stdout):
        tag, length = struct.unpack_from("<4sQ", run.stdout, at)
        found.append((tag, run.stdout[at + 12 : at + 12 + length]))
        at += 12 + length
    assert at == len(run.stdout), "nothing but whole messages"
    return found, run.returncode


def test_messages_are_as_documented(clip_path):
    found, status = messages(clip_path)
    assert status == 0 and found[0][0] == b"HEAD" and found[-1][0] == b"TAIL"
    head, facts = json.loads(found[0][1]), json.loads(found[-1][1])
    frames = [payload for tag, payload in found if tag == b"FRAM"]
    assert len(frames) == head["frames"] == 4
    for k, payload in enumerate(frames):
        rows = np.frombuffer(payload, np.uint8, offset=8).reshape(head["height"], head["row_bytes"])
        shown = rows[:, : 3 * head["width"]].reshape(head["height"], head["width"], 3)
        assert struct.unpack_from("<d", payload)[0] == pytest.approx(k / 2) == time_shown(shown)
    (channels,) = (json.loads(payload)["channels"] for tag, payload in found if tag == b"CHAN")
    assert channels == ["FC"]
    samples = sum(len(payload) // 4 for tag, payload in found if tag == b"SOUN")
    assert facts["sound_s"] == samples / 16_000 == pytest.approx(2.0, abs=0.03)
    assert facts["video_codec"] == "h264" and facts["pictures"] == 60


def test_failure_is_a_message_too(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    found, status = messages(tmp_path / "text.mp4")
    assert found == [(b"FAIL", b'{"kind": "not a video"}')] and status == 1


def test_limits_on_memory_time_and_written_files():
    program = (
        "import json, resource; from omnizip.media.decoder.program import limit_resources;"
        "limit_resources({'memory_bytes': 10**9, 'cpu_s': 7.5});"
        "print(json.dumps([resource.getrlimit(r) for r in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert json.loads(run.stdout) == [[10**9] * 2, [8, 13], [0] * 2]


def test_the_program_imports_nothing_of_the_project(clip_path):
    """Nor numpy, which alone would add a third to its start."""
    with open(clip_path, "rb") as source:
        command = [sys.executable, "-I", "-X", "importtime", decoder_process.DECODER, json.dumps(JOB | {"source": source.fileno()})]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[source.fileno()], text=True
        )
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in process.stderr}
        assert process.wait(60) == 0
        process.stdin.close()
    assert {"av", "omnizip_decoder"} <= imported and not imported & {"omnizip", "numpy", "torch", "PIL"}


# ---- a file may not make ffmpeg open another


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:full:2011">'
    "<Period><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'><BaseURL>{target}</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlist_reads_no_other_file(kind, suffix, clip_path, tmp_path):
    path = tmp_path / f"list{suffix}"
    path.write_text(PLAYLISTS[kind].format(target=clip_path))
    with pytest.raises(MediaError, match="is not a video"):
        media.load(path, Settings())


@pytest.mark.parametrize("kind", ["hls", "concat", "dash"])
def test_playlist_reaches_no_network(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        path = tmp_path / "list.m3u8"
        path.write_text(PLAYLISTS[kind].format(target=f"http://127.0.0.1:{server.getsockname()[1]}/clip.mp4"))
        with pytest.raises(MediaError):
            media.load(path, Settings())
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/clip.mp4", "concat:a|b", "-i.mp4", "data:text/plain,x"])
def test_a_name_is_only_ever_a_file(name):
    with pytest.raises(MediaError, match="There is no file"):
        media.load(name, Settings())


def test_no_playlist_container_is_allowed():
    assert not {"hls", "concat", "dash", "sdp", "rtsp", "image2", "lavfi", "webm_dash_manifest"} & set(CONTAINERS.split(","))


# ---- whatever the program does, the caller gets a sentence


HEAD = {"frames": 4, "height": 2, "width": 2, "row_bytes": 64, "turns": 0, "mirrored": False, "fps": 2.0}
SEND = "import sys, json, struct, os, time, signal\ndef send(tag, data): os.write(1, tag + struct.pack('<Q', len(data)) + data)\n"
BROKEN = {
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "made the decoder crash (SIGSEGV)"),
    "aborts": ("os.abort()", "made the decoder crash (SIGABRT)"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "was killed from outside while reading"),
    "runs out of memory": ("send(b'FAIL', b'{\"kind\": \"memory\"}')", "needs more than the 4096 MB allowed"),
    "runs out of a machine's memory": (
        'send(b\'FAIL\', b\'{"kind": "memory", "less": true}\')',
        "ran out of memory while reading clip.mp4",
    ),
    "is asked for an absurd size": ("send(b'FAIL', b'{\"kind\": \"absurd size\"}')", "its tables ask for more memory than any clip needs"),
    "uses up its processor time": ("os.kill(os.getpid(), signal.SIGXCPU)", "took longer than 2 s"),
    "hangs": ("time.sleep(60)", "took longer than 2 s"),
    "hangs after closing its output": ("os.close(1); time.sleep(60)", "took longer than 2 s"),
    "does not start": ("import no_such_module", "ended without a word while reading clip.mp4 (exit status 1)"),
    "says nothing": ("sys.exit(0)", "ended without a word while reading clip.mp4 (exit status 0)"),
    "sends noise": ("os.write(1, bytes(range(256)) * 99)", "answered nonsense"),
    "sends broken JSON": ("send(b'HEAD', b'{nonsense')", "answered nonsense"),
    "sends no JSON object": ("send(b'HEAD', b'[1]')", "answered nonsense"),
    "announces more than memory": (f"send(b'HEAD', json.dumps({HEAD | {'height': 10**9}}).encode())", "answered nonsense"),
    "announces endless JSON": ("os.write(1, b'HEAD' + struct.pack('<Q', 10**15))", "answered nonsense"),
    "announces sound of no channel": ("send(b'CHAN', b'{\"channels\": []}')", "answered nonsense"),
    "announces channels twice": ("[send(b'CHAN', b'{\"channels\": [\"FC\"]}') for _ in range(2)]", "answered nonsense"),
    "announces too many channels": ("send(b'CHAN', json.dumps({'channels': ['FC'] * 17}).encode())", "answered nonsense"),
    "sends sound unannounced": ("send(b'SOUN', bytes(8))", "answered nonsense"),
    "sends half a sample": ("send(b'CHAN', b'{\"channels\": [\"FL\", \"FR\"]}'); send(b'SOUN', bytes(4))", "answered nonsense"),
    "announces endless sound": (
        "send(b'CHAN', b'{\"channels\": [\"FC\"]}'); os.write(1, b'SOUN' + struct.pack('<Q', 10**15))",
        "answered nonsense",
    ),
    "sends a frame unannounced": ("send(b'FRAM', bytes(100))", "answered nonsense"),
    "stops in a frame": (
        f"send(b'HEAD', json.dumps({HEAD}).encode()); os.write(1, b'FRAM' + struct.pack('<Q', 136) + bytes(50)); os.abort()",
        "made the decoder crash (SIGABRT)",
    ),
    "ends without facts": (
        f"send(b'HEAD', json.dumps({HEAD}).encode()); send(b'FRAM', bytes(136)); send(b'TAIL', b'{{}}')",
        "answered nonsense",
    ),
    "fails in a new way": ("send(b'FAIL', b'{\"kind\": \"unheard of\"}')", "cannot be decoded"),
}


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] if "hangs" in case else []) for case in BROKEN])
def test_broken_decoder_is_one_sentence(case, clip_path, tmp_path, monkeypatch):
    program, expected = BROKEN[case]
    (tmp_path / "fake.py").write_text(SEND + program)
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "fake.py")
    with pytest.raises(MediaError) as raised:
        media.load(clip_path, Settings(decode_timeout_s=2))
    assert expected in str(raised.value) and "\n" not in str(raised.value)
    monkeypatch.undo()
    assert len(media.load(clip_path, Settings()).frames) == 4, "and the next clip is read"


STARVED = """
import resource, runpy, sys
{harm}
sys.argv[0] = {decoder!r}
runpy.run_path({decoder!r}, run_name="__main__")
"""
HARM = {
    "no PyAV": ("sys.modules['av'] = None", "needs PyAV, which is not installed"),
    "no memory for its libraries": (
        "resource.setrlimit(resource.RLIMIT_AS, (60_000_000, -1))",
        "ran out of memory while reading clip.mp4",
    ),
}


@pytest.mark.parametrize("case", HARM)
def test_the_real_decoder_tells_a_missing_package_from_missing_memory(case, clip_path, tmp_path, monkeypatch):
    harm, expected = HARM[case]
    (tmp_path / "starved.py").write_text(STARVED.format(harm=harm, decoder=str(decoder_process.DECODER)))
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "starved.py")
    with pytest.raises(MediaError) as raised:
        media.load(clip_path, Settings())
    assert expected in str(raised.value), raised.value


@pytest.mark.slow
def test_a_clip_that_needs_more_memory_is_never_called_broken(tmp_path):
    """Under some limits a library says that it wants memory, under others that it finds no picture."""
    path = make_clip(tmp_path / "large.mp4", seconds=1, size=(1920, 1080), sound=None)
    told = set()
    for megabytes in range(120, 260, 10):
        try:
            media.load(path, Settings(decode_memory_mb=megabytes))
        except MediaError as problem:
            told.add(str(problem).replace(str(megabytes), "N"))
    assert told and all("needs more than the N MB allowed" in sentence or "ran out of memory" in sentence for sentence in told), told


@pytest.mark.slow
def test_a_hanging_decoder_takes_its_children_along(clip_path, tmp_path, monkeypatch):
    (tmp_path / "fake.py").write_text(
        f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"
    )
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "fake.py")
    with pytest.raises(MediaError, match="took longer"):
        media.load(clip_path, Settings(decode_timeout_s=2))
    pid = int((tmp_path / "pid").read_text())
    state = _state(pid)
    assert state in ("gone", "Z"), state


def _state(pid: int, patience: int = 50) -> str:
    """One letter as in /proc; a killed orphan may stay a zombie where nobody reaps."""
    for _ in range(patience):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rpartition(") ")[2][0]
        except FileNotFoundError:
            return "gone"
        if state == "Z":
            break
        time.sleep(0.02)
    return state


# ---- when nobody wants the clip any more


HANGS = "import os, time\nopen({pid!r}, 'w').write(str(os.getpid()))\n{before}time.sleep(120)\n"


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A decoder that never answers; calling it waits for its start and returns its process id."""
    (tmp_path / "fake.py").write_text(HANGS.format(pid=str(tmp_path / "pid"), before=""))
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "fake.py")
    return lambda: _written_pid(tmp_path / "pid")


def _written_pid(path) -> int:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def test_a_decoder_nobody_wants_ends_at_once(clip_path, hanging):
    """It sends nothing, so only the question whether to go on can end it before its time is up."""
    with pytest.raises(Cancelled):
        media.load(clip_path, Settings(decode_timeout_s=100), cancelled=lambda: bool(hanging()))
    assert _state(hanging()) in ("gone", "Z")


def test_stopped_copy_leaves_no_file(clip_path, hanging, tmp_path):
    with pytest.raises(Cancelled):
        media.transcode_preview(clip_path, tmp_path / "copy.mp4", Settings(decode_timeout_s=100), cancelled=lambda: bool(hanging()))
    assert _state(hanging()) in ("gone", "Z") and not list(tmp_path.glob("copy*"))


def test_what_fails_meanwhile_ends_a_silent_decoder(clip_path, hanging):
    def fail(arriving):
        hanging()
        raise RuntimeError("closed")

    with pytest.raises(RuntimeError, match="closed"):
        load_while(clip_path, Settings(decode_timeout_s=100), fail)
    assert _state(hanging()) in ("gone", "Z")


CALLER = """
import sys, time
from omnizip import media
from omnizip.media import decoder_process
from omnizip.settings import Settings

popen = decoder_process.subprocess.Popen
def started(*arguments, **options):
    process = popen(*arguments, **options)
    print(process.pid, flush=True)
    return process
decoder_process.subprocess.Popen = started
media.load(sys.argv[1], Settings(decode_timeout_s=100), lambda fraction: time.sleep(100))
"""


@pytest.mark.slow
def test_a_killed_caller_takes_its_decoder_along(tmp_path):
    """The real decoder, held in the middle of its work, is gone soon after its caller was killed with SIGKILL."""
    path = make_clip(tmp_path / "long.mp4", seconds=20, size=(640, 480), sound=None)
    caller = subprocess.Popen([sys.executable, "-c", CALLER, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    time.sleep(1.0)  # it fills its pipe and waits, or is still starting: both must end
    assert _state(pid, patience=1) not in ("gone", "Z")
    caller.kill()
    caller.wait()
    assert _state(pid, patience=500) in ("gone", "Z")


def test_a_decoder_ends_when_its_standard_input_does(clip_path):
    """However its caller went, with a picture half written."""
    with open(clip_path, "rb") as source:
        job = JOB | {"source": source.fileno()}
        command = [sys.executable, "-I", decoder_process.DECODER, json.dumps(job)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[source.fileno()], start_new_session=True
        )
        process.stdout.read(4)
        process.stdin.close()
        assert process.wait(30) == -9
        process.stdout.close()


@pytest.mark.parametrize(
    ("entries", "words"), [(0x3FFFFFFF, "its tables ask for more memory than any clip needs"), (0x01000000, "has a damaged index")]
)
def test_a_damaged_table_is_called_so(entries, words, tmp_path):
    """A small clip whose table of times (stts) announces far more entries than it holds is not said to need much memory, nor
    to be cut off."""
    data = bytearray(make_clip(tmp_path / "whole.mp4", seconds=0.5).read_bytes())
    at = data.index(b"stts") + 8
    data[at : at + 4] = struct.pack(">I", entries)
    path = tmp_path / "table.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=words):
        media.load(path, Settings())


def test_damaged_time_stamps_are_called_so(tmp_path):
    """A clip whose track says, by one number of its header (mdhd), that a second has one tick."""
    data = bytearray(make_clip(tmp_path / "whole.mp4", seconds=2, sound=None).read_bytes())
    at = data.index(b"mdhd") + 16
    data[at : at + 4] = struct.pack(">I", 1)
    path = tmp_path / "times.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"longer than the 600 s accepted|by its time stamps it would last for weeks"):
        media.load(path, Settings())
    data[data.index(b"stts") + 16 : data.index(b"stts") + 20] = struct.pack(">I", 0x00FFFFFF)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="by its time stamps it would last for weeks"):
        media.load(path, Settings())
