"""`methods` lists what there is, as text and as data."""

import json

from omnizip.cli import plain_text
from omnizip.cli.main import main
from omnizip.compressors import COMPRESSORS


def test_methods_lists_every_option_with_its_bounds(capsys, tmp_path):
    assert main(["methods", "--json", str(tmp_path / "methods.json")]) == 0
    out = capsys.readouterr().out
    methods = json.loads((tmp_path / "methods.json").read_text())["methods"]
    assert [m["name"] for m in methods] == list(COMPRESSORS)
    for method, kind in zip(methods, COMPRESSORS.values(), strict=True):
        assert (method["label"], method["summary"], method["source"]) == (kind.label, kind.summary, kind.source)
        assert kind.summary in out and f"{kind.name}: {kind.label}\n" in out
        assert method["later"] == kind.later and kind.later in out
        for plain, option in zip(method["options"], kind.options(), strict=True):
            assert {plain[key] == getattr(option, key) for key in ("name", "default", "low", "high", "help", "is_rate")} == {True}
            assert tuple(plain["choices"]) == option.choices and plain_text.flag(option) in out
