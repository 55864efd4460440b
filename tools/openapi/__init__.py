"""Write openapi/openapi.json from the routes that are registered, the R4 data and the demo's resources."""
