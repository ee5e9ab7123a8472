"""What the exit codes of a benchmark that keeps a sheet say."""

OUT_OF_TIME = 3
"""`--seconds` ended it: the same command with `--resume` goes on."""
PARTLY = 4
"""Every line was tried, and some are absent."""
BROKEN = 5
"""The device answers no more: the same command goes on behind the line."""
