"""Checkpoints and exported files on held-out images: what they get right, beside one another."""
