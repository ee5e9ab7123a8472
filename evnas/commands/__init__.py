"""The commands of `evnas`, by what they do; each body imports what it needs when it runs."""
