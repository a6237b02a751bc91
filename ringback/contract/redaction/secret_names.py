"""Whether the value under a name is a secret, judged by the words of the name.

`authToken`, `auth_token`, `X-Auth-Token` and `AUTHTOKEN` are the same words. Case and separators
do not matter.
"""

import re
from enum import Enum
from functools import lru_cache
from unicodedata import normalize


class Name(Enum):
    ORDINARY = "ordinary"
    SECRET = "secret"  # ruff: ignore[hardcoded-password-string]  # a word
    #: `tokens`: a secret, unless it is a number.
    COUNT_OR_SECRET = "count or secret"  # ruff: ignore[hardcoded-password-string]  # words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRETS = _words(
    "authorization bearer cookie credential jwt otp passcode passphrase passwd password pwd secret"
    " signature token totp"
)
#: Secrets only as the last word of a name: `proxyAuth`, but not `authType`.
_SECRETS_AT_THE_END = _words("auth headers hmac pass pin psk pw sig")
_KEYS = _words(
    "access account admin anthropic api app application assembly auth aws azure cartesia client"
    " consumer decryption deepgram deploy elevenlabs encryption gcp gemini google groq hmac"
    " integration jwt labs license licence master openai partner pem private provider rsa secret"
    " server service session shared signing ssh ssl stripe subscription symmetric telnyx tls twilio"
    " vapi vonage webhook xapi"
)
_CODES = _words("access auth backup login mfa recovery security sms verification")
_PAIRS = frozenset(
    {("account", "sid"), ("connection", "string"), ("control", "url"), ("listen", "url")}
    | {(word, "key") for word in _KEYS}
    | {(word, "code") for word in _CODES}
)
_TRIPLES = frozenset({("access", "key", "id")})
#: In a name written as one word, such as `apikey`, the rest must be one of these.
_BEFORE_IN_ONE_WORD = {
    "key": _KEYS,
    "pass": _words("admin auth db ftp mail proxy root sip smtp user"),
    "headers": _words("custom http request response sip"),
    "auth": _words("basic http proxy sip"),
}

_ADDRESSES = _words("endpoint host link path ref uri url")
#: Names with these endings describe a secret and do not contain one.
_HARMLESS_AT_THE_END = _ADDRESSES | _words(
    "age algorithm allowed amount arn at audience available budget category changed class consent"
    " cost count created date day days disabled duration enabled encoding exists expiration expired"
    " expires expiry field format id in index invalid is issuer kind label lang language length"
    " less limit limits max mechanism method min minute minutes missing mode ms name option order"
    " per percent plan policy position prefix present price provider rate ratio reason required"
    " requested reset scheme second seconds set size source state status strength subject supported"
    " time timeout timestamp total ttl type updated usage used valid verified version"
)
_COUNTS = _words(
    "accepted audio average avg billed cache cached completion context count cost generated image"
    " input llm max maximum min minimum n num number of output per prediction prompt reasoning"
    " rejected remaining sum text thinking total used usage"
)
_COUNTS_OF_ONE = _words("eos max min per stop")
_HARMLESS = frozenset({"signatureheader"})

#: Each name of a secret contains one of these when it is `flat`, in JSON with its closing quote.
MARKS = _SECRETS | _words(
    'accountsid auth code" connectionstring controlurl headers hmac key listenurl pass" pin"'
    ' presigned psk" pw" sig"'
)

#: In lower case, each name of a secret contains one of these, without a separator in it.
_HINT = re.compile(
    r"secret|token|pass|key|auth|cred|cookie|jwt|otp|pwd|sig|bearer|headers|hmac|pin|psk|pw|sid"
    r"|string|url|code"
)
_WORDS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+|\d+")
_SEPARATED = re.compile(r"[^\W_]+")


MAX_NAME_LENGTH = 200
"""Longer ones are no names: splitting them into words would take long."""


def flat(name: str) -> str:
    """Return the name without case and separators."""
    return "".join(_SEPARATED.findall(normalize("NFKC", name))).lower()


def may_be_secret(name: str) -> bool:
    """Check quickly: False is certain, True may be wrong."""
    return _HINT.search((name if name.isascii() else normalize("NFKC", name)).lower()) is not None


@lru_cache(maxsize=4096)
def judge(name: str) -> Name:
    """Return the kind of value under this name, in any spelling. Its end decides."""
    name = name[-MAX_NAME_LENGTH:]
    if not may_be_secret(name):
        return Name.ORDINARY
    name = normalize("NFKC", name)
    if flat(name) in _HARMLESS:
        return Name.ORDINARY
    # `PassWord` and `sEcReT` are words only if case is ignored.
    for pattern in (_WORDS, _SEPARATED):
        words = [part for word in pattern.findall(name) for part in _parts(word.lower())]
        if _names_a_secret(words):
            return _judge_words(words)
    return Name.ORDINARY


def _judge_words(words: list[str]) -> Name:
    named = [word for word in words if not word.isdigit()]
    if _has_row(named, _TRIPLES):
        return Name.SECRET
    last = named[-1]
    if last in _HARMLESS_AT_THE_END or _singular(last) in _HARMLESS_AT_THE_END:
        opens_something = "presigned" in named or _has_row(named[-2:], _PAIRS)
        if not (opens_something and _singular(last) in _ADDRESSES):
            return Name.ORDINARY
    others = [word for word in named if _singular(word) != "token"]
    if len(others) == len(named) or _names_a_secret(others):
        return Name.SECRET
    are_several = "tokens" in named or last == "details"
    if not (_COUNTS if are_several else _COUNTS_OF_ONE).isdisjoint(named):
        return Name.ORDINARY
    return Name.COUNT_OR_SECRET if are_several else Name.SECRET


def _names_a_secret(words: list[str]) -> bool:
    named = [word for word in words if not word.isdigit()]
    return bool(named) and (
        named[-1] in _SECRETS_AT_THE_END
        or any(word == "presigned" or _singular(word) in _SECRETS for word in named)
        or _has_row(named, _PAIRS)
    )


def _has_row(words: list[str], rows: frozenset[tuple[str, ...]]) -> bool:
    return any(
        (*words[start : end - 1], _singular(words[end - 1])) in rows
        for end in range(2, len(words) + 1)
        for start in range(max(0, end - 3), end - 1)
    )


def _singular(word: str) -> str:
    return word if word.endswith("ss") or word in {"is", "ms"} else word.removesuffix("s")


def _parts(word: str) -> list[str]:
    """Split a word such as `clientsecret` or `tokencount`, which is written as one."""
    bare = _singular(word)
    if bare in _SECRETS:
        return [word]
    for secret in _SECRETS:
        if bare.endswith(secret):
            return [*_parts(bare.removesuffix(secret)), word[len(bare) - len(secret) :]]
        rest = word.removeprefix(secret)
        if rest != word and (_singular(rest) in _HARMLESS_AT_THE_END or rest in {"hash", "value"}):
            return [secret, rest]
    for last, befores in _BEFORE_IN_ONE_WORD.items():
        ending = word if word.endswith(last) else bare
        before = ending.removesuffix(last)
        if before != ending and before in befores:
            return [before, last]
    return [word]
