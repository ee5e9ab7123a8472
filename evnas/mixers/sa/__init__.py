"""Softmax self-attention, the mixer of VSSD's last stage."""
