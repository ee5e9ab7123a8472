"""HSM-SSD, the mixer of EfficientViM."""
