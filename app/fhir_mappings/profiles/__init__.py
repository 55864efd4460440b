"""Profiles: StructureDefinitions that constrain a type, compiled and checked beyond R4 itself."""
