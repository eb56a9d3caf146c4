"""A table of training runs: reading it, doubting it, what counts."""
