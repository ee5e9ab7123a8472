"""ES2D, the mixer of EfficientVMamba."""
