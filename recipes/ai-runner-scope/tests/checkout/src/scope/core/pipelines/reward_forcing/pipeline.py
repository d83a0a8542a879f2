"""No node in it."""
