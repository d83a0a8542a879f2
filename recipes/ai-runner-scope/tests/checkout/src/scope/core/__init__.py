"""A stand-in of scope's shape, written for these tests: nothing here comes from scope."""
