"""Programs that measure; each prints ratios of things timed in turns (bench/README.md)."""
