"""The backward half of the Triton scan over routes, beside the forward in `..kernel`."""
