"""One adapter for each outside thing."""
