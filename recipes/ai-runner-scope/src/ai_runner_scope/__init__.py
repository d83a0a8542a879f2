"""Runs the pipelines of scope (daydreamlive/scope) on live video; holds nothing of scope itself."""
