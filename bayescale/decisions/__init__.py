"""What to do next, one file a question; all per draw of the posterior."""
