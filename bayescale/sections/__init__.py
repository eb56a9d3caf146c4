"""The parts of a report, one file a subject; they show what other modules computed."""
