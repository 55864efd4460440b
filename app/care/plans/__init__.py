"""Care plans: pathways applied, the survivor's own words kept, progress and re-engagement."""
