"""Questionnaires: whether a response is valid, what it scores, what risk it tells, what becomes of it."""
