"""Keeps the libraries' bars and hints to their own authors out of a worker's log."""

from __future__ import annotations


def hush() -> None:
    """Let diffusers and transformers speak of errors only."""
    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    for logging in (of_diffusers, of_transformers):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
