"""Fronts and dominance under uncertainty, and agreement of rankings."""
