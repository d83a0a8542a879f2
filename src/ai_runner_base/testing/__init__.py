"""What tests and benchmarks outside this package may build on. Imported by nobody at run time."""
