"""The chart says what the tokens say: every drawn height is counted here again, token by token."""

import numpy as np
import pytest
from streams import make_stream

from omnizip import COMPRESSORS, Modality
from omnizip.report.decision import CompressionRecord
from ui import words
from ui.figures import time_chart


@pytest.fixture(scope="module")
def record():
    stream = make_stream(steps=9, audio=223)  # 9 s of picture, 8.92 s of sound: the last window is half full
    return CompressionRecord.of(COMPRESSORS["omnizip"](rho_audio=0.4, rho_video=0.55).compress(stream), 9.0)


def trace(figure, name):
    (found,) = [t for t in figure.data if t.name == name]
    return found


def shares(record, modality):
    """Kept share per window, counted token by token."""
    return {
        w: record.keep[(record.window == w) & (record.modality == modality)].mean()
        for w in range(record.window.max() + 1)
        if ((record.window == w) & (record.modality == modality)).any()
    }


def test_bars_are_the_kept_sound_and_the_line_the_dropped_picture(record):
    figure = time_chart(record, None)
    bars, line = trace(figure, words.SOUND_KEPT), trace(figure, words.PICTURE_DROPPED)
    np.testing.assert_allclose(bars.y, list(shares(record, Modality.AUDIO).values()))
    np.testing.assert_allclose(bars.x, [1, 3, 5, 7, 8.5])
    dropped = [1 - s for s in shares(record, Modality.VIDEO).values()]
    np.testing.assert_allclose(line.y, np.repeat(dropped, 2))
    np.testing.assert_allclose(line.x, [0, 2, 2, 4, 4, 6, 6, 8, 8, 9])
    mean = 1 - record.keep[record.modality == Modality.VIDEO].mean()
    np.testing.assert_allclose(trace(figure, words.PICTURE_MEAN).y, [mean, mean])


def test_hovering_tells_counts_and_units(record):
    texts = [t.customdata for t in time_chart(record, None).data if t.customdata is not None][0]
    assert len(texts) == 5
    first = (record.window == 0) & (record.modality == Modality.AUDIO)
    assert f"{record.keep[first].sum()} of {first.sum()} tokens" in texts[0]
    assert "8–9 s" in texts[4] and "window 5" in texts[4]


def test_sound_lies_on_the_same_time_axis_as_the_windows(record):
    waveform = np.zeros(16_000 * 9, np.float32)
    waveform[16_000 * 4 : 16_000 * 5] = 0.5
    figure = time_chart(record, waveform)
    wave = trace(figure, words.AXIS_WAVE)
    half = len(wave.x) // 2
    loud = wave.x[:half][wave.y[:half] > 0.5]
    assert loud.min() == pytest.approx(4, abs=0.02) and loud.max() == pytest.approx(5, abs=0.02)
    assert wave.yaxis == "y2" and tuple(figure.layout.xaxis.range) == (0, 9.0), "one time axis for both"


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize(("steps", "audio"), [(4, 0), (1, 20), (2, 180)], ids=["no sound", "short", "long sound"])
def test_every_method_and_kind_of_clip_draws(name, steps, audio):
    method = COMPRESSORS[name]
    stream = make_stream(steps=steps, audio=audio)
    record = CompressionRecord.of(method().compress(stream), max(steps, audio / 25))
    figure = time_chart(record, None)
    assert (words.SOUND_KEPT in {t.name for t in figure.data}) == (audio > 0)
    figure.to_json()


def test_both_modes_can_read_it(record):
    layout = time_chart(record, None).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True)
        )

    ink = luminance(layout.font.color)
    assert 1.05 / (ink + 0.05) > 4 and (ink + 0.05) / (luminance("#0f1115") + 0.05) > 4
