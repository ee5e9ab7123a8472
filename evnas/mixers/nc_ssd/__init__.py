"""NC-SSD, the mixer of VSSD."""
