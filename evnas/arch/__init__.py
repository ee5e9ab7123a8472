"""One architecture as data: its fields, places within it, the published ones by name."""
