"""A stand-in of ComfyUI's shape, written for these tests: nothing here comes from ComfyUI."""
