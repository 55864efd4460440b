"""Terminology in memory: code systems, value sets, and what may be asked of them."""
