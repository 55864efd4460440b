"""Synthetic people and agencies, their story as a tour, and who sees what (tests/demo/who-sees-what.txt)."""
