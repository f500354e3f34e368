"""The dress rehearsal at the released size, as a paragraph."""

from __future__ import annotations

from itertools import accumulate

from .results import load


def paragraph() -> str:
    """What was fetched, how long it took and how much memory the process had."""
    found = load("rehearsal-3b")
    if found is None:
        return "It was not run at the released size."
    known, took = found["conditions"], found["seconds"]
    sent = sum(file["sent"] for file in found["bytes"].values())
    *thinker, last = found["bytes"].values()
    if last["sent"]:
        raise ValueError("The file without a tensor of the thinker was fetched.")
    size = sum(file["size"] for file in thinker)
    again = found["second_process"]
    here = f"{known['device']}, {known['cores']} cores, load average {known['load_average'][0]:.1f}, {known['date'][:10]}"
    page, fetched, loaded = accumulate((took["page_up_s"], took["download_s"], took["load_s"]))
    return (
        f"At the released shape of 3B, in bfloat16 with random weights ({here}), {len(thinker)} of {len(thinker) + 1} files of weights "
        f"were fetched, {size / 1e9:.2f} GB, with one connection cut after {found['cut_after_bytes'] / 1e9:.0f} GB and {sent / 1e9:.2f} GB "
        f"sent in all. From the start of the program the page was up after {page:.0f} s, everything was there after {fetched:.0f} s and "
        f"the model was loaded after {loaded:.0f} s, with {found['peak_anonymous_bytes'] / 1e9:.1f} GB of memory beside the pages of the "
        f"files. A second process started from the cache in {again['start_from_cache_s']:.0f} s and read every one of "
        f"{again['parameters'] / 1e9:.2f} billion weights, and two tokens with them, in {again['read_all_s']:.0f} s; with all pages it had "
        f"{again['peak_resident_bytes'] / 1e9:.1f} GB. No comparison was waited for, since this processor has no bfloat16 of its own. "
        "The talker's file was listed with shapes that stand for its own."
    )
