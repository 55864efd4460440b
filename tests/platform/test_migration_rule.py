"""Migrations keep the rule that lets a release be rolled out while the one before it serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import migration_rule


def test_every_migration_keeps_the_rule() -> None:
    for migration in migration_rule.VERSIONS.glob("[0-9]*.py"):
        assert migration_rule.faults_of(migration) == [], migration.name


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE tl.client",
        "ALTER TABLE tl.client DROP COLUMN scope",
        "ALTER TABLE tl.client RENAME COLUMN scope TO scopes",
        "ALTER TABLE tl.client RENAME TO clients",
        "ALTER TABLE tl.client ALTER COLUMN scope TYPE varchar(10)",
        "ALTER TABLE tl.client ALTER scope SET NOT NULL",
        "ALTER TABLE tl.client ADD COLUMN tenant text NOT NULL",
        "ALTER TABLE tl.client ADD CONSTRAINT short CHECK (length(scope) < 10)",
        "ALTER TABLE tl.client ADD UNIQUE (scope)",
        "TRUNCATE tl.client",
        "DELETE FROM tl.client",
        "DROP FUNCTION tl.enter",
        "REVOKE SELECT ON tl.client FROM somebody",
        "CREATE INDEX later ON tl.client (scope)",
    ],
)
def test_what_the_release_before_could_not_live_with_is_refused(statement: str) -> None:
    assert len(migration_rule.faults(f"-- a remark\n{statement};")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE tl.client ADD COLUMN tenant text;",
        "ALTER TABLE tl.client ADD COLUMN tenant text NOT NULL DEFAULT '';",
        "ALTER TABLE tl.client ALTER COLUMN scope DROP NOT NULL;",
        "ALTER TABLE tl.client ADD CONSTRAINT short CHECK (length(scope) < 10) NOT VALID;",
        "CREATE TABLE tl.new (a int); CREATE INDEX i ON tl.new (a); ALTER TABLE tl.new ADD UNIQUE (a);",
        "CREATE FUNCTION tl.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM tl.client; END $$;",
        "-- contract: since 0002 nothing reads it\nALTER TABLE tl.client DROP COLUMN scope;",
        "-- locks: a row a client\nCREATE INDEX later ON tl.client (scope);",
        "DROP INDEX tl.later;",
    ],
)
def test_what_adds_or_says_why_it_is_harmless_is_let_through(text: str) -> None:
    assert migration_rule.faults(text) == []


def test_operations_in_python_are_to_be_written_as_sql(tmp_path: Path) -> None:
    migration = tmp_path / "0009_x.py"
    migration.write_text("def upgrade():\n    op.drop_column('client', 'scope')\n")
    assert len(migration_rule.faults_of(migration)) == 1
