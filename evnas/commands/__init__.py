"""The commands of `evnas`, one per file; each body imports what it needs when it runs.

`evnas.cli.COMMANDS` lists them.
"""
