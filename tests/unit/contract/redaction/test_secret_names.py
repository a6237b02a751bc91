"""Tests for ringback.contract.redaction.secret_names."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.redaction.secret_names import MARKS, Name, flat, judge, may_be_secret

SECRETS = """
    secret clientSecret client_secret CLIENT_SECRET clientsecret hmacSecret webhookSecret secrets
    serverUrlSecret sEcReT secretValue
    password Password PASSWORD PassWord authPassword passwordHash password2 passwd pwd passphrase
    passcode userPass smtp_pass dbpass pass pw
    token accessToken access_token bearerToken idToken callToken tokenV2 authtoken
    x-auth-token
    apiKey api_key api-key APIKey APIkey apikey apiKeys x-api-key X-API-Key xapikey twilioApiKey
    apiKeyValue privateKey private_key privateKeyPem secretKey awsSecretAccessKey accessKeyId
    signingKey encryption_key openaiKey masterKey
    credential credentials awsCredentials authorization Authorization proxy-authorization
    authorizationCode auth basicAuth cookie Cookie Set-Cookie cookies jwt JWT bearer signature
    x-vapi-signature hmac otp totp pin verificationCode psk
    headers sipHeaders sip_headers customHeaders
    presignedMonoUrl presignedUrls presigned_new_link controlUrl listenUrl control_url
    twilioAccountSid connectionString
    X-Amz-Signature X-Amz-Security-Token X-Amz-Credential X-Goog-Signature sig
    \uff30assword
""".split()  # ruff: ignore[split-static-string]  # a table

ORDINARY = """
    maxTokens max_tokens maxtokens maxToken tokenCount token_count tokencount promptTokens
    llmPromptTokens completionTokens totalTokens completion_tokens_details input_token_details
    tokensPerMinute costPerToken stopToken tokenLimit tokenType tokenizer tokenized
    keyPoints key keys keyword keypadInput primaryKey publicKey sortKey idempotencyKey routingKey
    monkey turkey
    authorizationType authorizationtype authorizationUrl authType authentication authenticationPlan
    author authors authenticated oauth
    passwordResetRequested passwordRequired passed passport bypass compass passRate
    secretary secretName secretArn credentialId credentialIds signatureHeader signatureVersion
    signatureAlgorithm headerName headersCount bearerPrefixEnabled bearerFormat cookieConsent
    presignedUrlsExpiresAt tokenUrl tokenExpiresIn sessionId sid code countryCode postalCode
    pinned spin opinion url serverUrl recordingUrl phoneNumber description stringValue
""".split()  # ruff: ignore[split-static-string]  # a table


def test_a_name_of_a_secret_is_known_in_each_spelling() -> None:
    """The unreadable body of a message is searched for the marks of such names."""
    for name in SECRETS:
        assert judge(name) is Name.SECRET
        assert may_be_secret(name)
        assert any(mark in f'{flat(name)}"' for mark in MARKS)


def test_a_name_that_looks_alike_stays_visible() -> None:
    """It counts, describes or identifies something."""
    for name in ORDINARY:
        assert judge(name) is Name.ORDINARY


@pytest.mark.parametrize("name", ["tokens", "refreshTokens", "Tokens"])
def test_tokens_are_a_count_or_secrets(name: str) -> None:
    """The value decides."""
    assert judge(name) is Name.COUNT_OR_SECRET


@given(name=st.sampled_from(SECRETS + ORDINARY), separator=st.sampled_from("_-. "))
def test_separators_do_not_matter(name: str, separator: str) -> None:
    """`api_key`, `api-key` and `api key` are the same words."""
    assert judge(name.replace("_", separator)) is judge(name)
    assert judge(name.replace("-", separator)) is judge(name)


@given(name=st.sampled_from(["password", "secret", "token", "jwt", "apikey"]), data=st.data())
def test_case_does_not_matter(name: str, data: st.DataObject) -> None:
    """Each letter may be small or capital."""
    spelled = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in name)

    assert judge(spelled) is Name.SECRET


@given(name=st.text(max_size=200) | st.text(string.ascii_letters + "_-", max_size=200))
def test_each_name_gets_a_verdict(name: str) -> None:
    """The quick check never misses a secret."""
    verdict = judge(name)

    assert may_be_secret(name) or verdict is Name.ORDINARY


def test_a_long_name_gets_a_verdict() -> None:
    assert judge("secret" * 10_000) is Name.SECRET


def test_the_documentation_says_what_is_so() -> None:
    """Each example in its two tables."""
    guide = Path("docs/how-to/redact-credentials.md").read_text(encoding="utf-8")
    hidden, _, visible = guide.partition("## What stays visible")

    for text, expected in ((hidden, Name.SECRET), (visible, Name.ORDINARY)):
        rows = re.findall(r"^\|.*\|$", text, re.MULTILINE)
        names = re.findall(r"`([\w-]+)`", "".join(row.split("|")[2] for row in rows))
        assert len(names) > 20
        assert {name: judge(name) for name in names} == dict.fromkeys(names, expected)
