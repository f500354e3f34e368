"""By what audio tokens are ranked, by the name of the option: attention, nothing but their time, loudness, novelty, chance.

Source: OmniZip, section 3.1, ranks by the attention sound receives in its encoder; the rest is what that has to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable

from ..deferred import Tensor, torch
from ..errors import MethodError
from ..stream import TokenStream, placed

PAST_TOKENS = 25  # one second: what a token is new against

Ranking = Callable[[TokenStream, int, str], Tensor]


def _attended(stream: TokenStream, seed: int, scope: str) -> Tensor:
    """The paper's: attention received, over the clip or over two seconds."""
    scores = stream.saliency if scope == "clip" else stream.saliency_windowed
    if scores is None:
        raise MethodError("This stream carries no audio saliency; give audio_saliency, or choose audio at random.")
    return scores[stream.audio_index]


def _random(stream: TokenStream, seed: int, scope: str) -> Tensor:
    """Draws, the same on every device."""
    return placed(torch.rand(stream.n_audio, generator=torch.Generator().manual_seed(seed)), stream.embeds.device)


def _uniform(stream: TokenStream, seed: int, scope: str) -> Tensor:
    """All alike: `most_salient` breaks ties evenly over time."""
    return torch.ones(stream.n_audio, device=stream.embeds.device)


def _energy(stream: TokenStream, seed: int, scope: str) -> Tensor:
    """How loud a token is: its log-mel frames, averaged over bins."""
    return _log_mel(stream).mean(dim=1)


def _novelty(stream: TokenStream, seed: int, scope: str) -> Tensor:
    """How far a token's log-mel frames lie from the mean of the second before; the first token's from the mean of all."""
    mel = _log_mel(stream)
    places = torch.arange(mel.shape[0], device=mel.device)
    start = (places - PAST_TOKENS).clamp(min=0)
    running = torch.nn.functional.pad(mel.double().cumsum(dim=0), (0, 0, 1, 0))
    past = (running[places] - running[start]) / (places - start).clamp(min=1)[:, None]
    past[:1] = mel.double().mean(dim=0)
    return (mel - past).norm(dim=1).float()


def _log_mel(stream: TokenStream) -> Tensor:
    """(A, bins) log-mel frames of each audio token."""
    observed = stream.observed("log_mel")
    if observed is not None:
        return observed
    if stream.n_audio:
        raise MethodError("This stream carries no log-mel frames; choose audio uniformly, at random or by saliency.")
    return torch.zeros(0, 1, device=stream.embeds.device)


# Each takes the stream, a seed and over what attention competes ("clip" or "window"), and gives (A,) scores.
AUDIO_SELECTORS: dict[str, Ranking] = {
    "saliency": _attended,
    "uniform": _uniform,
    "energy": _energy,
    "novelty": _novelty,
    "random": _random,
}
