"""The size a picture is scaled to."""

import pytest

from omnizip.media.decoder.pictures import scaled_size


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (3840, 2160), (321, 181), (640, 480), (100, 7000), (3, 100_000), (16_384, 16)])
@pytest.mark.parametrize("aspect", [1.0, 64 / 45, 8 / 9])
@pytest.mark.parametrize("pixels", [16, 10_000, 640 * 480, 10**9])
def test_scaled_size_fits_and_never_enlarges(size, aspect, pixels):
    width, height = scaled_size(*size, aspect, pixels)
    assert 1 <= width <= size[0] and 1 <= height <= size[1] and width * height <= pixels
    if min(width, height) > 100:
        assert width / height == pytest.approx(size[0] * aspect / size[1], rel=0.01)
