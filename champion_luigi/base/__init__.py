"""Shared by every package: errors, secrets, whole files, locks, signals, and the names of the five stages."""
