"""All that knows transformers: loading and its memory check, processor, encoders, saliency, prefill, decode, layer pruning."""
