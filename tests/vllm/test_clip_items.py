"""Putting picture and sound together: what vLLM's caches are asked for, and how long a frame is seen."""

import numpy as np
import pytest
from vllm.multimodal.hasher import MultiModalHasher
from vllm.multimodal.parse import AudioProcessorItems, MultiModalDataItems, VideoProcessorItems

from omnizip.integrations.vllm.clip_items import ClipItems, put_together, second_per_frame

FRAMES = np.zeros((4, 28, 28, 3), np.uint8)


def items(videos, sounds):
    known = {"video": VideoProcessorItems([FRAMES] * videos, metadata=[None] * videos)}
    return MultiModalDataItems(known | ({"audio": AudioProcessorItems([np.ones(10 + i) for i in range(sounds)])} if sounds else {}))


def keys(made):
    return [MultiModalHasher.hash_kwargs("sha256", video=item) for item in made["video"].get_all_items_for_hash()]


def test_sound_is_part_of_the_key():
    made = put_together(items(2, 2), sounded=True)
    assert set(made) == {"video"} and isinstance(made["video"], ClipItems) and len(made["video"].sounds) == 2
    first, second = keys(made)  # equal pictures
    assert first != second and keys(put_together(items(1, 1), True)) == [first]
    assert keys(put_together(items(1, 0), True)) != [first]


def test_sound_of_its_own_stays_so():
    made = put_together(items(1, 2), sounded=False)
    assert made["video"].sounds == [] and len(made["audio"]) == 2
    with pytest.raises(ValueError, match="1 videos came with 2 sounds"):
        put_together(items(1, 2), sounded=True)


def test_items_that_are_not_cached_are_taken_apart_and_put_together_again():
    made = put_together(items(2, 2), sounded=True)
    again = ClipItems([made["video"][1]])
    assert keys({"video": again}) == keys(made)[1:]


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({"fps": 10.0, "total_num_frames": 80, "frames_indices": [0, 5, 10, 15, 21, 26, 31, 36, 42, 47, 52, 57, 63, 68, 73, 79]}, 0.5),
        ({"fps": 30.0, "total_num_frames": 300, "frames_indices": range(32)}, 10 / 32),  # vLLM's default, of ten seconds
        ({"fps": 0, "total_num_frames": 300, "frames_indices": [0, 1]}, None),
        ({"fps": 30.0, "total_num_frames": 300, "frames_indices": []}, None),
        ({}, None),
        (None, None),
    ],
)
def test_how_long_a_frame_is_seen(metadata, seconds):
    assert second_per_frame(metadata) == seconds
