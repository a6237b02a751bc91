"""The addresses of Ringback: from the environment, else of the local stack."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from ringback.local.jwt_secret import read_secret
from ringback.local.ports import LOOPBACK, LocalPorts, broker_url, password_path, superuser_url
from ringback.local.running_stack import find_running
from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    HeaderSecret,
    ManagementSettings,
    RetentionSettings,
    load,
    secret_names,
    url_parts,
    with_secret_files,
)

WEBHOOK_PATH = "/api/webhooks/vapi"


def _web_url(text: str) -> str:
    if not url_parts(text, ("http", "https")).hostname:
        raise ValueError("must be a URL with a host")
    return text


class Addresses(BrokerSettings, ManagementSettings, DatabaseSettings, RetentionSettings):
    """The settings that commands share with the services."""

    gateway_url: Annotated[str, AfterValidator(_web_url)] = Field(
        description="The URL to which `ringback send` posts webhooks."
    )
    vapi_secret: HeaderSecret | None = Field(
        default=None, description="The value of X-Vapi-Secret that the gateway expects."
    )

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] = os.environ, state_dir: Path = Path(".ringback")
    ) -> Self:
        """Read the environment; the local stack in `state_dir` provides the rest.

        Raises SettingsError, or LocalStackError for an invalid port.
        """
        given = with_secret_files(environ, secret_names(cls))
        local = _local(local_ports(environ, state_dir), state_dir)
        if "RINGBACK_AMQP_URL" in given:
            # The management API of the local broker would describe the wrong broker.
            del local["RINGBACK_RABBITMQ_MANAGEMENT_URL"]
        return load(cls, local | given)

    @property
    def amqp(self) -> str:
        return self.amqp_url.get_secret_value()

    @property
    def management(self) -> str | None:
        url = self.rabbitmq_management_url
        return url.get_secret_value() if url is not None else None

    @property
    def database(self) -> str:
        return self.database_url.get_secret_value()

    @property
    def secret_headers(self) -> dict[str, str]:
        secret = self.vapi_secret
        return {"X-Vapi-Secret": secret.get_secret_value()} if secret is not None else {}


def local_ports(
    environ: Mapping[str, str] = os.environ, state_dir: Path = Path(".ringback")
) -> LocalPorts:
    """The ports of the running stack, else those that it would use."""
    running = find_running(state_dir)
    return running.ports if running else LocalPorts.from_env(environ)


def _local(ports: LocalPorts, state_dir: Path) -> dict[str, str]:
    password = read_secret(password_path(state_dir / "rabbitmq")) or ""
    return {
        "RINGBACK_AMQP_URL": broker_url(ports.broker.amqp, password),
        "RINGBACK_RABBITMQ_MANAGEMENT_URL": f"http://{LOOPBACK}:{ports.broker.management}",
        "RINGBACK_DATABASE_URL": superuser_url(state_dir / "postgres", ports.database.database),
        "RINGBACK_GATEWAY_URL": f"http://{LOOPBACK}:{ports.services.gateway}{WEBHOOK_PATH}",
    }
