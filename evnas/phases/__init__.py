"""Phases of an evaluation, cheapest first; each file holds all that is its phase's own."""
