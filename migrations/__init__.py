"""Alembic migrations of the tables; functions and policies are app/storage/migrate.py's."""
