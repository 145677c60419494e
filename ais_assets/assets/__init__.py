"""What exists, from what, partitioned how."""
