"""Where the files that travel with the package are found: a wheel's folder first, a checkout's beside it."""

from pathlib import Path

import pytest

from omnizip import assets
from omnizip.assets import asset
from omnizip.errors import OmniZipError

ROOT = Path(__file__).resolve().parent.parent


def test_a_checkout_has_them_at_its_root():
    assert asset("nano") == ROOT / "assets" / "nano"
    assert asset("lens/lens.css") == ROOT / "assets" / "lens" / "lens.css"


def test_what_is_inside_the_package_goes_first(tmp_path, monkeypatch):
    inside, beside = tmp_path / "omnizip" / "assets", tmp_path / "assets"
    for place in (inside / "nano", beside / "nano", beside / "examples"):
        place.mkdir(parents=True)
    monkeypatch.setattr(assets, "PLACES", (inside, beside))
    assert asset("nano") == inside / "nano"
    assert asset("examples") == beside / "examples"


def test_what_is_nowhere_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "PLACES", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(OmniZipError, match=r"^This installation of OmniZip lacks its file nano; [^.]*\.$"):
        asset("nano")


def test_the_embedded_model_that_is_missing_is_named_with_the_way_out(tmp_path, monkeypatch):
    from omnizip.errors import ModelError
    from omnizip.model import loading
    from omnizip.settings import Settings

    monkeypatch.setattr(assets, "PLACES", (tmp_path,))
    with pytest.raises(ModelError, match="embedded model is not part of this installation.*--model"):
        loading.load(Settings(device="cpu"))
