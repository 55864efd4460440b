"""Synthetic people and agencies, the tour that plays their story, and who sees what (docs/demo.md)."""
