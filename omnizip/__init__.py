"""Audio-guided token compression for omnimodal language models: OmniZip and its field, on Qwen2.5-Omni."""
