"""The kinds of credentials that an endpoint can declare, and what each becomes."""

from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from ringback.runtime.endpoints.document import HttpUrl, Model
from ringback.runtime.endpoints.secret_sources import KeySetFile as _KeySetFile
from ringback.runtime.endpoints.secret_sources import Secret, Secrets
from ringback.runtime.outgoing.remote_keys import remote_key_set
from ringback.runtime.process.settings import header_value
from ringback.services.gateway.endpoints.credentials import (
    AUTHORIZATION_HEADER,
    Credential,
    SharedSecret,
    Signature,
)
from ringback.services.gateway.endpoints.endpoint import SECRET_HEADER
from ringback.services.gateway.endpoints.signatures import (
    Hmac,
    StandardWebhooks,
    decode,
    payload_parts,
)
from ringback.services.gateway.endpoints.tokens import AccessToken, FixedKeys, TokenClient

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")]


def _header_secrets(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    for secret in secrets:
        header_value(secret.value)
    return secrets


HeaderSecrets = Annotated[Secrets, AfterValidator(_header_secrets)]


def secret_bytes(secrets: tuple[Secret, ...]) -> tuple[bytes, ...]:
    return tuple(secret.value.encode() for secret in secrets)


class HeaderCredential(Model):
    """A secret in a header of any name, such as X-Vapi-Secret, with or without `Bearer`."""

    kind: Literal["header"]
    name: HeaderName = SECRET_HEADER
    secret: HeaderSecrets

    def built(self) -> Credential:
        return SharedSecret((self.name,), secret_bytes(self.secret))


class BearerCredential(Model):
    """A bearer token in a header of any name; the sender may leave out `Bearer`."""

    kind: Literal["bearer"]
    header: HeaderName = AUTHORIZATION_HEADER
    secret: HeaderSecrets

    def built(self) -> Credential:
        return SharedSecret((self.header,), secret_bytes(self.secret))


def _payload(text: str) -> str:
    payload_parts(text)
    return text


class HmacCredential(Model):
    """A signature of the body, with the fields of Vapi's HMAC credential."""

    kind: Literal["hmac"]
    secret: Secrets
    secret_is_base64: bool = False
    algorithm: Literal["sha256", "sha512", "sha1"]
    signature_header: HeaderName = "x-signature"
    timestamp_header: HeaderName = "x-timestamp"
    payload: Annotated[str, AfterValidator(_payload)] = "{timestamp}.{body}"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, StringConstraints(max_length=64)] = ""
    tolerance_s: Annotated[float, Field(gt=0, le=86_400)] | None = 300
    message_id_header: HeaderName | None = None
    url: HttpUrl | None = None

    @model_validator(mode="after")
    def _has_what_the_payload_needs(self) -> "HmacCredential":
        if self.signs_id() and self.message_id_header is None:
            raise ValueError("message_id_header is required: the payload has {svix-id}")
        if "url" in payload_parts(self.payload)[1::2] and self.url is None:
            raise ValueError("url is required, as Vapi calls it: the payload has {url}")
        return self

    @model_validator(mode="after")
    def _has_base64_secrets(self) -> "HmacCredential":
        if self.secret_is_base64:
            for secret in self.secret:
                if not decode(secret.value, "base64"):
                    raise ValueError("secret: is not base64, as secret_is_base64 says")
        return self

    def signs_id(self) -> bool:
        return "svix-id" in payload_parts(self.payload)[1::2]

    def missing_for_ids(self) -> str | None:
        """What its message ids need before they can be dedup keys, and in which field.

        Without it, anyone could move characters between the id and what is beside it in the
        payload. The signature would still match.
        """
        parts = payload_parts(self.payload)
        if not self.signs_id():
            return "{svix-id} in %s.payload"
        names = parts[1::2]
        for place, name in enumerate(names):
            is_first, is_last = place == 0, place == len(names) - 1
            before, after = parts[2 * place], parts[2 * place + 2]
            if name == "svix-id" and not ((before or is_first) and (after or is_last)):
                return "a separator beside {svix-id} in %s.payload"
        if "timestamp" in names and self.tolerance_s is None:
            return "a number in %s.tolerance_s"
        return None

    def keys(self) -> tuple[bytes, ...]:
        if not self.secret_is_base64:
            return secret_bytes(self.secret)
        return tuple(decode(secret.value, "base64") or b"" for secret in self.secret)

    def built(self) -> Hmac:
        return Hmac(
            secrets=self.keys(),
            algorithm=self.algorithm,
            signature_header=self.signature_header,
            timestamp_header=self.timestamp_header,
            parts=payload_parts(self.payload),
            encoding=self.encoding,
            prefix=self.prefix,
            tolerance_s=self.tolerance_s,
            message_id_header=self.message_id_header,
            url=self.url,
        )


_SYMMETRIC, _PUBLIC = "whsec_", "whpk_"
_PUBLIC_KEY_BYTES = 32


class StandardWebhooksCredential(Model):
    """A signature as Standard Webhooks describes: `whsec_` for v1, `whpk_` (Ed25519) for v1a."""

    kind: Literal["standard_webhooks"]
    secret: Secrets
    tolerance_s: Annotated[float, Field(gt=0, le=86_400)] | None = 300

    @field_validator("secret")
    @classmethod
    def _is_a_key(cls, value: tuple[Secret, ...]) -> tuple[Secret, ...]:
        for secret in value:
            prefix, _, text = secret.value.partition("_")
            key = decode(text, "base64")
            is_key = {
                _SYMMETRIC: bool(key),
                _PUBLIC: key is not None and len(key) == _PUBLIC_KEY_BYTES,
            }
            if not is_key.get(f"{prefix}_"):
                raise ValueError("must be whsec_<base64>, or whpk_<base64 of an Ed25519 key>")
        return value

    def _keys(self, prefix: str) -> list[bytes]:
        return [
            decode(secret.value.removeprefix(prefix), "base64") or b""
            for secret in self.secret
            if secret.value.startswith(prefix)
        ]

    def built(self) -> Signature:
        return StandardWebhooks(
            secrets=tuple(self._keys(_SYMMETRIC)),
            public_keys=tuple(
                Ed25519PublicKey.from_public_bytes(key) for key in self._keys(_PUBLIC)
            ),
            tolerance_s=self.tolerance_s,
        )


_MIN_CLIENT_SECRET = 24


def _long_secrets(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    if any(len(secret.value) < _MIN_CLIENT_SECRET for secret in secrets):
        raise ValueError(f"must have {_MIN_CLIENT_SECRET} characters or more: it also signs tokens")
    return secrets


class OAuth2Credential(Model):
    """An access token (JWT) that an OAuth2 server issued to Vapi as its client.

    `jwks_url` or `jwks_file` has the server's keys. With `client_secret` the gateway is that
    server, at /oauth2/token.
    """

    kind: Literal["oauth2"]
    jwks_url: HttpUrl | None = None
    jwks_file: _KeySetFile | None = None
    client_secret: Annotated[Secrets, AfterValidator(_long_secrets)] | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None
    issuer: Annotated[str, Field(min_length=1)] | None = None
    client_id: Annotated[str, Field(min_length=1)] | None = None
    scope: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_one_source_of_keys(self) -> "OAuth2Credential":
        sources = (self.jwks_url, self.jwks_file, self.client_secret)
        if sum(one is not None for one in sources) != 1:
            raise ValueError("needs one of jwks_url, jwks_file and client_secret")
        if self.client_secret is None:
            if self.audience is None:
                raise ValueError("audience is required")
        elif self.client_id is None or self.audience or self.issuer or self.scope:
            raise ValueError("with client_secret, set client_id and no other field")
        return self

    def client(self) -> TokenClient | None:
        """The client of the gateway's own token endpoint."""
        if self.client_secret is None:
            return None
        return TokenClient(self.client_id or "", secret_bytes(self.client_secret))

    def built(self) -> Credential:
        client = self.client()
        if client is not None:
            return client.verifier()
        return AccessToken(
            keys=FixedKeys(self.jwks_file.keys)
            if self.jwks_file is not None
            else remote_key_set(self.jwks_url or ""),
            audience=self.audience or "",
            issuer=self.issuer,
            client_id=self.client_id,
            scope=self.scope,
        )


CredentialEntry = Annotated[
    HeaderCredential
    | BearerCredential
    | HmacCredential
    | OAuth2Credential
    | StandardWebhooksCredential,
    Field(discriminator="kind"),
]
