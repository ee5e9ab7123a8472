"""The backward half of the scan of whole maps in registers, beside the forward in `..kernel`."""
