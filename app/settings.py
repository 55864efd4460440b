"""What an operator can set: one class, read from environment variables that begin with `TL_`.

Neighbours: `app.main` and `app.cli` read it, `app.embedded` serves a database when no URL is set.
The same table for people is docs/settings.md; a test keeps the two in step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableError

from app.openid_settings import OpenIdProvider

MEBIBYTE = 1024 * 1024
_VARIETY = 10


class SettingsError(ValueError):
    """A setting of the environment cannot be used; the message names it."""


class Settings(BaseSettings):
    """The settings of one process; invalid values stop the start, naming the setting."""

    model_config = SettingsConfigDict(
        env_prefix="TL_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """Address the HTTP server listens on."""

    port: int = Field(default=8000, ge=1, le=65535)
    """TCP port the HTTP server listens on."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that serve; each has its own database connections."""

    metrics_host: str = "127.0.0.1"
    """Address that `/metrics` listens on, where a metrics port is set."""

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """TCP port of Prometheus' `/metrics`; unset, nothing is measured."""

    traces: bool = False
    """Whether requests are traced for OpenTelemetry; needs the extra `otel`, and its `OTEL_…` variables."""

    base_url: str | None = None
    """Public FHIR base, for links and references; unset, it follows from host and port."""

    state_dir: Path = Path(".throughline")
    """Folder of the embedded database, when no database URL is set."""

    database_url: SecretStr | None = None
    """PostgreSQL URL of the service's role; unset, an embedded PostgreSQL is started."""

    migration_database_url: SecretStr | None = None
    """PostgreSQL URL of a role that may create roles and tables; used by migrations only."""

    service_role: str = Field(default="throughline_service", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """Database role the service reads as; it owns nothing and is bound by row-level security."""

    service_password: SecretStr | None = None
    """Password that migrations give the service's role; unset, its password is left alone."""

    pool_min: int = Field(default=2, ge=0)
    """Database connections kept open."""

    pool_max: int = Field(default=10, ge=1)
    """Database connections opened at most for writing; as many again for searches, and 21 besides."""

    max_body_bytes: int = Field(default=10 * MEBIBYTE, ge=1)
    """Largest request body accepted, in bytes."""

    max_bundle_entries: int = Field(default=500, ge=1)
    """Most entries accepted in a batch or transaction."""

    max_depth: int = Field(default=64, ge=1)
    """Deepest nesting accepted in a resource's JSON."""

    default_count: int = Field(default=20, ge=1)
    """Entries of a search page when `_count` is absent."""

    max_count: int = Field(default=1000, ge=1)
    """Most entries of a search page, whatever `_count` says."""

    statement_timeout_ms: int = Field(default=10_000, ge=1)
    """Longest a database statement may run, in milliseconds."""

    request_timeout_ms: int = Field(default=20_000, ge=1)
    """Longest a FHIR request may take, waiting for a database connection included, in milliseconds."""

    answer_beat_ms: int = Field(default=10, ge=0, le=1000)
    """Milliseconds from beat to beat, for answers whose time could tell what is hidden; 0 for none."""

    max_parameters: int = Field(default=200, ge=1)
    """Most search parameters accepted in one request."""

    rate_limit: str = Field(default="10000/second", pattern=r"^$|^[1-9]\d*/(second|minute|hour)$")
    """Most requests of one client, over all processes, such as `600/minute`; empty for no limit."""

    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service from a browser, as a JSON list; none by default."""

    allow_plain_http: bool = False
    """Whether to serve beyond this machine without https; for closed networks with no real records."""

    token_lifetime_seconds: int = Field(default=900, ge=1)
    """How long an access token is valid, in seconds; one for an emergency 900 at most."""

    key_secret: SecretStr | None = Field(default=None, min_length=32)
    """What signing keys are sealed with, at least 32 characters; unset, one is kept in the state folder."""

    openid_providers: tuple[OpenIdProvider, ...] = ()
    """OpenID providers whose tokens are taken from people, as a JSON list (people.md); none by default."""

    update_as_create: bool = False
    """Whether a PUT to an id that does not exist creates the resource."""

    conditional_delete_limit: int = Field(default=1, ge=1)
    """Most resources that one conditional delete takes away; more matches are refused (412)."""

    claimed_profiles: Literal["ignore", "known", "all"] = "ignore"
    """Profiles claimed in `meta.profile` that a write must keep: `known` ones, or `all`, each known."""

    consent_end_seconds: float = Field(default=15.0, ge=0)
    """How often, in seconds, to look whom to tell that a Consent has run out; 0 for never, in this process."""

    demo: bool = False
    """Whether demonstration data and clients are loaded; never set it where real records are."""

    log_level: Literal["critical", "error", "warning", "info", "debug"] = "info"
    """Least severe message that is logged."""

    @classmethod
    def load(cls) -> Self:
        """The settings of the environment.

        Raises SettingsError naming each setting that cannot be used, and why, but not its value.
        """
        try:
            return cls()
        except ValidationError as error:
            faults = [
                f"TL_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"
                if each["loc"]
                else each["msg"].removeprefix("Value error, ")
                for each in error.errors(include_input=False, include_url=False)
            ]
            raise SettingsError("; ".join(faults)) from None
        except UnreadableError as error:
            # Its own text repeats the value.
            name = str(error).partition('"')[2].partition('"')[0]
            raise SettingsError(f"TL_{name.upper()}: it is no JSON") from None

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL, without a slash at its end."""
        if self.base_url is not None:
            return self.base_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/fhir"

    @field_validator("key_secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(set(value.get_secret_value())) < _VARIETY:
            raise ValueError("it is easily guessed; use what `openssl rand -hex 32` prints")
        return value

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        if self.pool_min > self.pool_max:
            raise ValueError("pool_min must not exceed pool_max")
        if self.default_count > self.max_count:
            raise ValueError("default_count must not exceed max_count")
        issuers = [each.issuer for each in self.openid_providers]
        if len(set(issuers)) < len(issuers):
            raise ValueError("openid_providers must name each issuer once")
        if sum(each.launch for each in self.openid_providers) > 1:
            raise ValueError("openid_providers may send apps to one provider only (launch)")
        return self
