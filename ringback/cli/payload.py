"""The payload for `ringback send`."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from ringback import samples
from ringback.cli.failure import BadInputError


@dataclass(frozen=True, slots=True)
class Payload:
    name: str
    body: bytes
    is_sample: bool


def payload_of(what: str) -> Payload:
    """The payload of a sample or a file. Raises BadInputError, which lists the names."""
    if what in samples.names():
        return Payload(what, samples.sample(what), is_sample=True)
    path = Path(what)
    if path.is_file():
        try:
            return Payload(path.name, path.read_bytes(), is_sample=False)
        except OSError as exc:
            raise BadInputError(f"The file {what} cannot be read: {exc.strerror}.") from exc
    if path.suffix or len(path.parts) > 1:
        raise BadInputError(f"There is no file {what}.")
    near = difflib.get_close_matches(what, samples.names(), n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise BadInputError(
        f"There is no sample {what!r}, and no file of that name.{guess}\n"
        f"Samples: {', '.join(samples.names())}."
    )
