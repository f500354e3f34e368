"""Everything that knows transformers: loading, prompts, encoders, saliency, prefill and decode; one file a family."""
