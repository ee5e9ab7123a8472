"""What a sweep's file says, validated, with the line of each complaint."""
