"""Programs that measure; each prints ratios."""
