"""A target of one's own: a command that is handed a model's file and prints its latencies."""
