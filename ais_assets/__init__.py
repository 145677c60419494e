"""AIS position reports to training samples, as a Dagster platform."""
