"""The selective scans on a CPU as one compiled pass: `scan` is the way in."""
