"""Storage: the lake, the IO managers, and the loader for training code."""
