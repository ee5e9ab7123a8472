"""What SS2D and ES2D share; no mixer by itself."""
