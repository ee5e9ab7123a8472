"""Modules: mixers, residual blocks, stems, heads, and the backbone made of them."""
