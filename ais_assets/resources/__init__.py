"""What Dagster configures: the lake, the source, the training loader."""
