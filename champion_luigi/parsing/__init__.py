"""Pure functions from published bytes to canonical rows: unzip, recognise, split, normalize, check."""
