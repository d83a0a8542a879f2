"""Runs ComfyUI workflows on live video, inside a worker, without ComfyUI's server."""
