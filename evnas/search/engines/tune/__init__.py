"""The Ray engine: Ray Tune runs the trials. Only this package imports ray."""
