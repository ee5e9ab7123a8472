"""Parameters and FLOPs, counted on the meta device."""
