"""Things of another package that evnas takes by entry points or by `add`: a module per kind."""
