"""Makes the JSON of the dashboards: `python -m deploy.grafana.generate`."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.boards.overview import overview
from deploy.grafana.boards.queues import queues
from deploy.grafana.boards.runtime import runtime
from deploy.grafana.boards.tenant import tenant

FOLDER: Final = Path(__file__).parent / "dashboards"


def generated() -> dict[str, str]:
    """The text of every dashboard, by file name."""
    boards = [make().build() for make in (overview, queues, tenant, runtime)]
    return {
        f"{board.uid}.json": json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for board in boards
    }


if __name__ == "__main__":
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
