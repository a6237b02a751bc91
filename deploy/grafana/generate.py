"""Makes the JSON of the dashboards: `python -m deploy.grafana.generate`."""

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.boards.overview import overview
from deploy.grafana.boards.queues import queues
from deploy.grafana.boards.runtime import runtime
from deploy.grafana.boards.tenant import tenant

FOLDER: Final = Path(__file__).parent / "dashboards"


def generated() -> dict[str, str]:
    """The text of every dashboard, by file name."""
    boards = [make().build() for make in (overview, queues, tenant, runtime)]
    documents = [json.loads(json.dumps(board, cls=JSONEncoder)) for board in boards]
    return {
        f"{document['uid']}.json": json.dumps(_beside(document), indent=2, sort_keys=True) + "\n"
        for document in documents
    }


def _beside(document: dict[str, Any]) -> dict[str, Any]:
    """Let links and annotations stay in sight; the library puts them all in a menu."""
    panels = [link for panel in document["panels"] for link in panel.get("links", ())]
    for item in [*document["links"], *document["annotations"]["list"], *panels]:
        item.pop("placement", None)
    return document


if __name__ == "__main__":
    for name, text in generated().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
