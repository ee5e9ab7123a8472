"""What may vary in an architecture, how many that makes, and moves among them."""
