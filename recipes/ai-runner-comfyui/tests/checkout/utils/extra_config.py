"""Keeps what it is asked to read."""

READ = []
load_extra_path_config = READ.append
