"""The HTTP side's wrappers of pipelines."""
