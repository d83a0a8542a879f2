"""Live pipelines."""
