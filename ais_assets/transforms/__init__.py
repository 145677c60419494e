"""Pure functions on Arrow tables and NumPy arrays; they know neither Dagster nor storage."""
