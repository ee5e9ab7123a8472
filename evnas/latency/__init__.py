"""Latency by prediction: parts and whole networks measured once, and what follows for others."""
