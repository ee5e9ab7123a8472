"""What a search leaves beside its records."""
