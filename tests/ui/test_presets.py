"""The paper's settings by name, against the paper's own table of settings."""

import pytest

from omnizip.compressors import COMPRESSORS, OmniZip
from ui import presets, words

# arXiv 2511.14582v2: rates of section 4.1, switches of the ablations, G of the supplement
SETTINGS = {
    "45": (0.3, 0.6, True, True, 3),
    "35": (0.4, 0.7, True, True, 3),
    "no-dp": (0.3, 0.6, False, True, 3),
    "no-dp-ac": (0.3, 0.6, False, False, 3),
    "g15": (0.3, 0.6, True, True, 15),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_preset_sets_what_the_paper_names(name):
    method = COMPRESSORS[presets.METHOD](**presets.options_of(name))
    assert isinstance(method, OmniZip)
    assert (method.rho_audio, method.rho_video, method.dynamic, method.anchors, method.merge_size) == SETTINGS[name]
    assert (method.rho_min, method.rho_max, method.neighbours) == (0.35, 0.75, 5)


def test_every_preset_has_words_and_a_figure():
    assert list(presets.PAPER) == list(words.PAPER) == list(SETTINGS)
    assert all(any(c.isdigit() for c in preset.published) and preset.label for preset in presets.PAPER.values())
