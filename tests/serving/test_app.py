"""`app.py --openai` as people start it: with a key, and what it refuses at the start."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from served import free_port, served

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-sixteen-signs"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("OMNIZIP_")}


def test_a_program_is_answered_beside_the_page(tmp_path):
    port = free_port()
    with served(
        tmp_path, CLEAN | {"OMNIZIP_API_KEY": KEY}, "--openai", "--port", str(port), address=f"http://127.0.0.1:{port}/"
    ) as address:
        client = openai.OpenAI(base_url=f"{address}v1", api_key=KEY, max_retries=30, timeout=120)  # 503 while the model is loaded
        clip = base64.b64encode((ROOT / "assets" / "examples" / "bell.mp4").read_bytes()).decode()
        video = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{clip}"}}
        question = {"type": "text", "text": "What colour is the shape when the bell rings?"}
        done = client.chat.completions.create(model="omnizip-nano", messages=[{"role": "user", "content": [video, question]}])
        assert done.choices[0].message.content == "purple"
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{address}v1", api_key="another", max_retries=0).models.list()
    log = (tmp_path / "server.log").read_text()
    assert KEY not in log


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [({"OMNIZIP_API_KEY": "short"}, "too short"), ({"OMNIZIP_USER": "ada", "OMNIZIP_PASSWORD": "horse"}, "give no login")],
)
def test_what_does_not_go_together_ends_with_one_sentence(environment, sentence):
    done = subprocess.run(
        [sys.executable, "app.py", "--openai", "--port", "0"],
        cwd=ROOT,
        env=CLEAN | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
