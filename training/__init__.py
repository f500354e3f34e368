"""The program that made the embedded model, a tiny Qwen2.5-Omni; it stays in the repository, and nothing of the package imports it."""
