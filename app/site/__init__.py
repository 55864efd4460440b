"""The docs site: static files, served by `app.routers.docs`, as they stand: there is no build step."""
