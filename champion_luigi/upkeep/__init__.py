"""The state of the data, and its correction: coverage, verify, repair, redo, refresh, clean."""
