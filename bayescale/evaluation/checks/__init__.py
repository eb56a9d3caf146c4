"""What speaks against a result: one file for each family of checks."""
