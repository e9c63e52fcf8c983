"""From published bytes to canonical rows, pure: unzip, recognise, split, normalize, check."""
