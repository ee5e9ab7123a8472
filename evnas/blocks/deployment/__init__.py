"""The inference form, part by part: arithmetic on weights, fused layers, a rule a module type."""
