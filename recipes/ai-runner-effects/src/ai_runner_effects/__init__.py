"""Picture effects for live video: neon, cartoon, flow."""
