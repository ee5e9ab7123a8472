"""Triton kernels that contract tokens into states and expand them back, shared by the SSDs."""
