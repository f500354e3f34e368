"""Pictures as players show them: which way up, in which shape, without hidden colours."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import VideoReformatter

ALIGNED = 16  # a width of whole vectors
ANY_CLOCK = Fraction(1, 1000)  # for a picture alone


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: left and right are swapped if `mirrored`, then it is turned by `turns` of 90
    degrees counterclockwise."""

    turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """What the frame's display matrix says, to the nearest quarter turn.

        The matrix maps a stored point (x right, y down) to (a x + c y, b x + d y); it mirrors where its determinant is
        negative. Undoing a swap of left and right first (x -> -x) leaves a plain rotation.
        """
        side = next((data for data in frame.side_data if data.type == av.sidedata.sidedata.Type.DISPLAYMATRIX), None)
        if side is None:
            return cls()
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(side)[:36])
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        return cls(round(math.atan2(-b, a) / (math.pi / 2)) % 4, mirrored)

    @property
    def filters(self) -> list[tuple[str, str]]:
        """The same as filters of ffmpeg."""
        turned = {0: [], 1: [("transpose", "cclock")], 2: [("hflip", ""), ("vflip", "")], 3: [("transpose", "clock")]}
        return [("hflip", "")] * self.mirrored + turned[self.turns]


class Scaler:
    """Frames at one size in one pixel format. Remembers its tables, so one thread uses it at a time."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.composed = False  # whether anything was transparent
        self._shrink, self._convert = VideoReformatter(), VideoReformatter()

    def rgb(self, frame: Any) -> Any:
        """`frame` in RGB. Scaling within 4:2:0 and converting afterwards is three times as fast as both in one go. One
        thread, since the others are busy decoding; AREA averages all source pixels, so nothing aliases."""
        frame = self._opaque(frame)
        how = {"src_color_range": frame.color_range, "threads": 1, "interpolation": "AREA"}
        if frame.format.name == "yuv420p" and (frame.width, frame.height) != self.size and self.size[0] % ALIGNED == 0:
            frame = self._shrink.reformat(frame, *self.size, dst_color_range=frame.color_range, **how)
        return self._convert.reformat(frame, *self.size, "rgb24", **how)

    def yuv(self, frame: Any) -> Any:
        """`frame` in 4:2:0 of studio range, as browsers play it."""
        frame = self._opaque(frame)
        return self._convert.reformat(frame, *self.size, "yuv420p", src_color_range=frame.color_range, dst_color_range="MPEG")

    def _opaque(self, frame: Any) -> Any:
        """`frame` over black where it is transparent: a colour that nobody sees is not read."""
        pixel_format = frame.format
        if pixel_format.name != "pal8" and not any(component.is_alpha for component in pixel_format.components):
            return frame
        plane = filtered(frame, [("alphaextract", ""), ("format", "gray")]).planes[0]
        alpha, row = bytes(plane), plane.line_size
        if all(alpha.count(255, at, at + plane.width) == plane.width for at in range(0, plane.height * row, row)):
            return frame
        self.composed = True
        return filtered(frame, [("format", "gbrap"), ("premultiply", "inplace=1"), ("format", "gbrp")])


def scaled_size(width: int, height: int, aspect: float, pixels: int) -> tuple[int, int]:
    """Width and height of at most `pixels` in the shape players show. No axis is ever enlarged: where pixels are not square
    (`aspect` is width by height of one), the other axis shrinks. A size that shrinks is one that scales quickly."""
    shown_w, shown_h = (float(width), height / aspect) if aspect > 1 else (width * aspect, float(height))
    scale = min(1.0, math.sqrt(pixels / (shown_w * shown_h)))
    fitted_w, fitted_h = shown_w * scale, shown_h * scale
    if scale < 1 and fitted_w >= 10 * ALIGNED:
        fitted_w -= fitted_w % ALIGNED
        fitted_h = round(fitted_w * shown_h / shown_w / 2) * 2
    whole_w = max(1, min(width, round(fitted_w), pixels))
    return whole_w, max(1, min(height, round(fitted_h), pixels // whole_w))


def filtered(frame: Any, filters: list[tuple[str, str]]) -> Any:
    """`frame` sent through a chain of ffmpeg's filters, of which none needs another frame."""
    if not filters:
        return frame
    graph = av.filter.Graph()
    graph.threads = 1
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base or ANY_CLOCK)
    for name, arguments in (*filters, ("buffersink", "")):
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()
