"""The error that every part of the loader raises."""


class LoaderError(RuntimeError):
    """The epoch cannot be delivered whole; the message says what failed, where, and what to do."""
