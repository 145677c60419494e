"""`ais bench`: each stage's rate beside a baseline in the same run.

One module a stage; each offers `command`, a click command that `ais bench` finds by the module's name.
"""
