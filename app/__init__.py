"""Throughline: survivor-centred care coordination over FHIR R4, consent enforced on every read."""

__version__ = "0.1.0"
