"""The state of the data, and putting it right: coverage, verify, redo, refresh, clean."""
