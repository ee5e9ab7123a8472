"""What is known of a study: its folder, its trials, what they are wanted for."""
