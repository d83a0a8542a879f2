"""A node."""
