"""See docs/decisions/0001-the-spine.md."""
