"""Secrets in files: `DATABASE_URL_FILE` names the file with the value of `DATABASE_URL`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SUFFIX = "_FILE"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """The environment without empty variables, with secrets in place of the names of files."""

    environ: dict[str, str] = field(repr=False)
    from_files: set[str] = field(default_factory=set)
    #: By variable: a sentence that begins with the name of the variable that names the file.
    problems: dict[str, str] = field(default_factory=dict)

    def source_of(self, variable: str) -> str:
        """The variable from which the value came."""
        return f"{variable}{_SUFFIX}" if variable in self.from_files else variable


def read_secret_files(environ: Mapping[str, str], variables: Iterable[str]) -> SecretFiles:
    """Read the files of these variables. Their names count in upper and lower case."""
    read = SecretFiles({key: value for key, value in environ.items() if value.strip()})
    given = {key.upper(): key for key in read.environ}
    for variable in variables:
        name_in_environ = given.get(f"{variable}{_SUFFIX}")
        if name_in_environ is None:
            continue
        path = read.environ.pop(name_in_environ)
        read.from_files.add(variable)
        if variable in given:
            read.problems[variable] = f"{variable}{_SUFFIX}: set this or {variable}, not both"
            continue
        try:
            read.environ[variable] = _secret_in(path.strip())
        except ValueError as exc:
            read.problems[variable] = f"{variable}{_SUFFIX}: {exc}"
    return read


def _secret_in(path: str) -> str:
    """The content of a file without line ends at its end. Raises ValueError without a secret."""
    # Another text than a path may be the secret itself, set by mistake, and errors end in logs.
    named = path if path.startswith(("/", "~", ".")) else "the file at that relative path"
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise ValueError(f"{named} cannot be read: {exc.strerror}") from None
    except RuntimeError:
        raise ValueError(f"{path} begins with ~, but there is no such home folder") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{named} has more than {_MAX_BYTES:,} bytes")
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{named} is not text in UTF-8") from None
    if not secret.strip():
        raise ValueError(f"{named} is empty")
    return secret
