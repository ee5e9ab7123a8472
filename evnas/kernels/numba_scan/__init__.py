"""The selective scans on a CPU as one compiled pass; see `loops`."""
