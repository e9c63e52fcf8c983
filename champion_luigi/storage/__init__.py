"""Where a day is stored and how it gets there whole: paths, raw files, tables, the lake, notes of what is due."""
