"""`python -m chaos during` proves something only while its load runs."""

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from chaos.app import main

FAILED = 1


class Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"jobId": "0195f9ce-1234-7abc-8def-0123456789ab"}')

    def log_message(self, *_: object) -> None: ...


@contextmanager
def gateway() -> Generator[str, None, None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Accepting) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_a_load_that_ends_early_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RINGBACK_DATABASE_URL", raising=False)
    kill_the_load = ["sh", "-c", 'kill -KILL $(pgrep -P "$PPID" -f "chaos [l]oad")']

    with gateway() as url:
        ledger = str(tmp_path / "run.jsonl")
        options = ["--url", url, "--ledger", ledger, "--metrics", "127.0.0.1:1"]
        status = main(["during", *options, "--", *kill_the_load])

    assert status == FAILED
    assert "The load does not run." in " ".join(capsys.readouterr().err.split())
