"""Raw formats, one file each, behind one interface."""
