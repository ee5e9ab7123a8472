"""Speed and memory, measured under a protocol with their conditions."""
