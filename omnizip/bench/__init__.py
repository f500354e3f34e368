"""Measuring speed and memory. Makes its own streams and random weights; needs torch and transformers, nothing of the page."""
