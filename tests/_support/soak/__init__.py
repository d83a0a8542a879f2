"""A stream among misfortunes: what `bench/soak.py` runs for minutes and a test for seconds."""
