"""What users read from Python: prices that can be compared over years."""
