"""scope's own one installs packages while it is imported."""

raise AssertionError("the adapter imported the registry")
