"""The decoder as a program: its messages, its limits, what it may open, and what a broken one does to the caller."""

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
from omnizip.media import decoder_main, decoder_process
from omnizip.settings import Settings

JOB = {"mode": "frames", "fps": 2, "max_frames": 128, "pixels": 320 * 240, "max_clip_s": 60, "cpu_s": 60, "memory_bytes": 2 * 10**9}


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("decoder") / "clip.mp4")


def messages(path, **changes) -> tuple[list[tuple[bytes, bytes]], int]:
    """All messages of one run of the program, and its exit status."""
    with open(path, "rb") as source:
        job = JOB | {"source": source.fileno()} | changes
        run = subprocess.run(
            [sys.executable, "-I", decoder_main.__file__, json.dumps(job)], stdout=subprocess.PIPE, pass_fds=[source.fileno()], timeout=60
        )
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
    samples = sum(len(payload) // 4 for tag, payload in found if tag == b"SOUN")
    assert facts["sound_s"] == samples / 16_000 == pytest.approx(2.0, abs=0.03)
    assert facts["video_codec"] == "h264" and facts["pictures"] == 60


def test_failure_is_a_message_too(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    found, status = messages(tmp_path / "text.mp4")
    assert found == [(b"FAIL", b'{"kind": "not a video"}')] and status == 1


def test_limits_on_memory_time_and_written_files():
    program = (
        "import json, sys, resource; sys.path.insert(0, sys.argv[1]); from omnizip import decoder;"
        "decoder.limit_resources({'memory_bytes': 10**9, 'cpu_s': 7.5});"
        "print(json.dumps([resource.getrlimit(r) for r in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]))"
    )
    root = os.path.dirname(os.path.dirname(decoder_main.__file__))
    run = subprocess.run([sys.executable, "-c", program, root], capture_output=True, check=True, timeout=60)
    assert json.loads(run.stdout) == [[10**9] * 2, [8] * 2, [0] * 2]


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
    assert not {"hls", "concat", "dash", "sdp", "rtsp", "image2", "lavfi", "webm_dash_manifest"} & set(decoder_main.CONTAINERS.split(","))


# ---- whatever the program does, the caller gets a sentence


HEAD = {"frames": 4, "height": 2, "width": 2, "row_bytes": 64, "turns": 0, "fps": 2.0}
SEND = "import sys, json, struct, os, time, signal\ndef send(tag, data): os.write(1, tag + struct.pack('<Q', len(data)) + data)\n"
BROKEN = {
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "made the decoder crash (SIGSEGV)"),
    "aborts": ("os.abort()", "made the decoder crash (SIGABRT)"),
    "is killed for memory": ("os.kill(os.getpid(), signal.SIGKILL)", "needs more than the 4096 MB allowed"),
    "uses up its processor time": ("os.kill(os.getpid(), signal.SIGXCPU)", "took longer than 2 s"),
    "hangs": ("time.sleep(60)", "took longer than 2 s"),
    "hangs after closing its output": ("os.close(1); time.sleep(60)", "took longer than 2 s"),
    "does not start": ("import no_such_module", "did not run (exit status 1)"),
    "says nothing": ("sys.exit(0)", "did not run (exit status 0)"),
    "sends noise": ("os.write(1, bytes(range(256)) * 99)", "answered nonsense"),
    "sends broken JSON": ("send(b'HEAD', b'{nonsense')", "answered nonsense"),
    "sends no JSON object": ("send(b'HEAD', b'[1]')", "answered nonsense"),
    "announces more than memory": (f"send(b'HEAD', json.dumps({HEAD | {'height': 10**9}}).encode())", "answered nonsense"),
    "announces endless JSON": ("os.write(1, b'HEAD' + struct.pack('<Q', 10**15))", "answered nonsense"),
    "announces endless sound": ("os.write(1, b'SOUN' + struct.pack('<Q', 10**15))", "answered nonsense"),
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


@pytest.mark.parametrize("case", BROKEN)
def test_broken_decoder_is_one_sentence(case, clip_path, tmp_path, monkeypatch):
    program, expected = BROKEN[case]
    (tmp_path / "fake.py").write_text(SEND + program)
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "fake.py")
    with pytest.raises(MediaError) as raised:
        media.load(clip_path, Settings(decode_timeout_s=2))
    assert expected in str(raised.value) and "\n" not in str(raised.value)
    monkeypatch.undo()
    assert len(media.load(clip_path, Settings()).frames) == 4, "and the next clip is read"


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


def _state(pid: int) -> str:
    """One letter as in /proc; a killed orphan may stay a zombie where nobody reaps."""
    for _ in range(50):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rpartition(") ")[2][0]
        except FileNotFoundError:
            return "gone"
        if state == "Z":
            break
        time.sleep(0.02)
    return state


# ---- arithmetic


def test_stray_time_stamps_do_not_count():
    spans = [(k * 40, 40) for k in range(100)]
    spans[50] = (10**9, 40)  # damaged; later ones are in order again
    track = decoder_main._track(spans, 0.001)
    assert (track.start_s, track.end_s) == (0, 4.0) and track.step_s == 0.04


def test_reordered_pictures_are_no_strays():
    spans = [(stamp * 40, 0) for stamp in (0, 3, 1, 2, 6, 4, 5)]  # decoding order of B pictures, lasting unknown
    track = decoder_main._track(spans, 0.001)
    assert track.packets == 7 and track.end_s == pytest.approx(0.28)


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (3840, 2160), (321, 181), (640, 480), (100, 7000), (3, 100_000), (16_384, 16)])
@pytest.mark.parametrize("aspect", [1.0, 64 / 45, 8 / 9])
@pytest.mark.parametrize("pixels", [16, 10_000, 640 * 480, 10**9])
def test_scaled_size_fits_and_never_enlarges(size, aspect, pixels):
    width, height = decoder_main.scaled_size(*size, aspect, pixels)
    assert 1 <= width <= size[0] and 1 <= height <= size[1] and width * height <= pixels
    if min(width, height) > 100:
        assert width / height == pytest.approx(size[0] * aspect / size[1], rel=0.01)
