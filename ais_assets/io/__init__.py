"""The lake: what each dataset is made from, where it lies, how it is written and read; and the loader for training."""
