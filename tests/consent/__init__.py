"""Tests of the consent compiler, against readable cases and an independent judge."""
