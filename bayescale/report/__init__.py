"""The report: what it says as numbers, as sentences and as a page."""
