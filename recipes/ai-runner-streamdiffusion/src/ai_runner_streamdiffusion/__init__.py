"""Live video repainted by a diffusion model, in a batch that streams."""
