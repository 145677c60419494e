"""The `ais` command: one file a command, with errors, tables and progress in one place.

Here belongs what people type and read. What a command does belongs to the rooms below.
"""
