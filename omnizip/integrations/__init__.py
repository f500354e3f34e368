"""Adapters that other programs load by an entry point; each package here knows one such program, and nothing of ours imports them."""
