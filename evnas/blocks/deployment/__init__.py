"""The inference form by parts: arithmetic on weights, fused layers, a rule per module type."""
