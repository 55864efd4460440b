"""Measurements: each program prints ratios of two things timed in turns (bench/README.md)."""
