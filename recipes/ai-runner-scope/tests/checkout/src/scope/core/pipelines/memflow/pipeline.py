"""Needs a package that is nowhere."""

import flash_attention_of_the_future  # noqa: F401
