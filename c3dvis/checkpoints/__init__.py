"""Reads weight files of other libraries: one entry point, one module per format, no code is run."""
