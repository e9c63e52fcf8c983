"""The exchange's data sets, one module each: sources, layouts, columns, key and rules. No I/O."""
