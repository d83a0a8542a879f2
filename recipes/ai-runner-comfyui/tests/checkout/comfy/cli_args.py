"""Options of an empty command line."""

from types import SimpleNamespace

args = SimpleNamespace(cpu=False)
