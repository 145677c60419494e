"""What Dagster makes of each stage (`io/stages.py` says what these are), and what must hold of it."""
