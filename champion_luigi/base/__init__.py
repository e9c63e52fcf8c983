"""What every package stands on: errors, secrets, whole files, locks, signals, the five stages' names."""
