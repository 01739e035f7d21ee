"""Weight files of others: one front, a file for each format, no code of a file ever runs."""
