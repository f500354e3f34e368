"""Records and reports of a comparison that never ran: real decisions about a made-up stream, numbers by hand."""

from streams import make_stream

from omnizip import Full, OmniZip
from omnizip.report.decision import CompressionRecord
from omnizip.report.flops import CountedFlops, kv_cache_bytes, paper_flops
from omnizip.report.report import ClipRecord, Run, RunReport
from omnizip.types import Answer, Conditions, ModelShape, Sampling, Timing

TINY = ModelShape(layers=2, width=6, heads=4, kv_heads=2, head_dim=3, ffn=5, vocabulary=7, kv_bytes=4)
CONDITIONS = Conditions("tiny", True, 1000, "cpu", "float32", "sdpa", 1, "2.13", "5.23", "Linux")


def make_record(method=None, stream=None, duration_s=6.0):
    method = method or OmniZip(rho_audio=0.3, rho_video=0.6)
    return CompressionRecord.of(method.compress(stream or make_stream()), duration_s, method.needs)


def make_run(method, compression, text="A dog barks.", prefill_ms=40.0, cached=None):
    prompt = compression.tokens["total"]
    cached = cached or prompt + 3
    media = compression.tokens["audio"] + compression.tokens["video"]
    timing = Timing(10.0, 20.0, 1.0, 3.0, prefill_ms, 0.5, prefill_ms + 3.5, 100.0, None)
    return Run(
        method=method.name,
        label=method.label,
        parameters=method.parameters,
        retention_target=None,
        answer=Answer(text, (1, 2, 3), "end of turn"),
        compression=compression,
        timing=timing,
        peak_memory_bytes=None,
        kv_cache_bytes=kv_cache_bytes(TINY, cached),
        flops_paper=paper_flops(TINY, media),
        flops_counted=CountedFlops.of(TINY, prompt, cached),
        flops_encode=1000,
    )


def make_report(stream=None, name="clip.mp4", duration_s=6.0):
    stream = stream or make_stream()
    methods = Full(), OmniZip(rho_audio=0.3, rho_video=0.6)
    runs = tuple(make_run(m, make_record(m, stream, duration_s), prefill_ms=t) for m, t in zip(methods, (40.0, 10.0), strict=True))
    clip = ClipRecord(name, duration_s, 12, 2.0, stream.n_windows, 320, 240, stream.grid, stream.n_audio > 0, ("A warning.",))
    return RunReport(CONDITIONS, TINY, Sampling(seed=7), {"fps": 2.0}, {"torch": "2.13"}, "What is heard?", clip, runs)
