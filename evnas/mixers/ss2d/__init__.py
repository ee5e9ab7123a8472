"""SS2D, the mixer of VMamba."""
