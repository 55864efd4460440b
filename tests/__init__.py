"""Tests; named as sentences, one package for each package of app."""
