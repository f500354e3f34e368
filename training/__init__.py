"""The embedded model: a tiny Qwen2.5-Omni, the synthetic world it knows, and how it is trained."""
