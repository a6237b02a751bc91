"""Flask, which answers when Celery has the publisher confirm."""

from typing import Any

from flask import Flask, request

from benchmarks.peers.celery.tasks import process

app = Flask(__name__)


@app.post("/")
def accept() -> dict[str, Any]:
    process.delay(request.get_json())
    return {"success": True}
