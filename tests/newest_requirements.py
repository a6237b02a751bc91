"""Prints what the services and their tests need, without upper bounds, for `make test-newest`."""

import re
import sys
import tomllib
from pathlib import Path

_TEST_TOOLS = ("hypothesis", "jsonschema", "pytest", "pyyaml", "schemathesis")

if __name__ == "__main__":
    document = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    project = document["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["server"],
        *(one for one in project["optional-dependencies"]["local"] if "ringback" not in one),
        *(one for one in document["dependency-groups"]["dev"] if one.startswith(_TEST_TOOLS)),
    ]
    sys.stdout.writelines(re.sub(r",?<[^,;]*", "", one) + "\n" for one in wanted)
