"""A file -> raw frames and sound on standard output. A program of its own: `python -I omnizip/media/decoder/__main__.py JOB`.

Files from strangers are decoded by C code that may crash, hang or eat memory; here that ends this process and nothing
else. The package imports nothing but av and the standard library (numpy alone would add a third to its start). JOB is one
JSON object:

    {"mode": "frames" | "preview" | "join" | "tracks", "source": fd, "packages": folder of av, "cpu_s": s, "memory_bytes": n,
     "pixels": n, "max_clip_s": s, "fps": hz, "max_frames": n, "target": fd of the preview, "target_bytes": n, "small": bool,
     "start_s": s, "end_s": s or 0 for the end, "audio_track": "main", "none" or a number from 1}

Files come as open descriptors and ffmpeg may use no protocol but `fd` and no container but those of CONTAINERS: a playlist
that names other files or the network opens nothing. Standard input is a pipe whose other
end the caller holds: when it closes, for whatever reason, this program ends. The answer is a sequence of messages, each a
tag of 4 bytes, the payload's length as 8 bytes little-endian, and the payload:

    HEAD  JSON {frames, height, width, row_bytes, turns, mirrored, fps}: at most `frames` frames follow, sampled at `fps`.
          Swapping left and right if `mirrored`, then `turns` of 90 degrees counterclockwise, bring them upright
    FRAM  float64 seconds since the first picture, then `height` rows of `row_bytes`, whose first 3 * width are RGB
    CHAN  JSON {channels: names of the sound's channels}, before any SOUN
    SOUN  float32 samples at 16 kHz, the channels interleaved; the first belongs to the instant of the first picture
    TAIL  JSON facts (see messages.Facts): everything was read
    FAIL  JSON {kind, ...}: nothing can be had; decoder_process.py has the sentence for each kind

Everything goes by timestamps, never by index. A first pass (survey.py) reads packets without decoding, which costs
milliseconds and tells the true length (headers lie, cut files end early). The second (reader.py) decodes and puts every
picture and every sample at its instant; frames.py samples and sends them, preview.py encodes them again. listing.py tells what
there is to choose from, by the headers alone.
"""
