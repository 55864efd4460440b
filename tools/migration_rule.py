"""What a migration may do while the release before it still serves; docs/operations.md tells why.

    python -m tools.migration_rule        # prints what breaks the rule; exit code 1 where anything does

A statement that takes something away, or holds writers up, needs a comment above it that says when it became
harmless: `-- contract: since 0002 nothing uses it` or `-- locks: the table is small`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"

_TAKES_AWAY = re.compile(
    r"\bDROP\s+(?!INDEX|DEFAULT|NOT\s+NULL|IDENTITY|EXPRESSION)\w+|\bRENAME\b|\bTRUNCATE\b|\bDELETE\s+FROM\b"
    r"|\bALTER\s+(?:COLUMN\s+)?\w+\s+(?:SET\s+DATA\s+)?TYPE\b|\bSET\s+NOT\s+NULL\b|\bREVOKE\b",
    re.IGNORECASE,
)
_NARROWS = re.compile(
    r"\bADD\s+(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b", re.IGNORECASE
)
_NEEDS = re.compile(r"\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT)[^,;]*\bNOT\s+NULL\b", re.IGNORECASE)
_INDEX = re.compile(
    r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\bON\s+(?:ONLY\s+)?([\w.]+)", re.IGNORECASE | re.DOTALL
)
_CREATED = re.compile(r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.]+)", re.IGNORECASE)
_ALTERED = re.compile(r"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?([\w.]+)", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*")
_BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_PYTHON = re.compile(
    r"\bop\.(drop_\w+|rename_table|alter_column|create_index|create_unique_constraint|create_check_constraint"
    r"|create_foreign_key|add_column)\b"
)


def faults(text: str) -> list[str]:
    """What in the SQL of a migration breaks the rule, a sentence each; not within bodies of functions."""
    text = _BODY.sub("''", text)
    own = {name.lower() for name in _CREATED.findall(_COMMENT.sub("", text))}
    found = []
    for statement in text.split(";"):
        told = {
            word
            for word in ("contract", "locks")
            if re.search(rf"--\s*{word}:\s*\S", statement, re.IGNORECASE)
        }
        bare = " ".join(_COMMENT.sub("", statement).split())
        altered = _ALTERED.search(bare)
        if altered is not None and altered[1].lower() in own:
            continue
        if "contract" not in told:
            if _TAKES_AWAY.search(bare):
                found.append(f"takes away what the release before may use: {bare[:80]}")
            if _NARROWS.search(bare) and "NOT VALID" not in bare.upper():
                found.append(f"refuses what the release before may write: {bare[:80]}")
            if _NEEDS.search(bare) and "DEFAULT" not in bare.upper() and altered is not None:
                found.append(f"asks for what the release before does not write: {bare[:80]}")
        index = _INDEX.search(bare)
        if index is not None and index[1].lower() not in own and "locks" not in told:
            found.append(f"holds up writers of a table that may be large: {bare[:80]}")
    return found


def faults_of(migration: Path) -> list[str]:
    """The faults of a migration: of its SQL, and of its Python, which is to run SQL and nothing else."""
    found = []
    sql = migration.with_suffix(".sql")
    if sql.exists():
        found += faults(sql.read_text())
    found += [
        f"op.{name}: write it as SQL in a file beside, where this rule can read it"
        for name in _PYTHON.findall(migration.read_text())
    ]
    return found


def main() -> int:
    """Look at every migration."""
    wrong = [
        f"{migration.name}: {each}"
        for migration in sorted(VERSIONS.glob("[0-9]*.py"))
        for each in faults_of(migration)
    ]
    print(
        "\n".join(wrong) or "Every migration can be rolled out while the release before it serves."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
