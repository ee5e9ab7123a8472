"""Who does the work: worker processes of this machine, or Ray Tune."""
