"""FHIRPath compiled to closures: what invariants of R4 and of profiles are evaluated by."""
