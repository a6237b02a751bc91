from structlog.testing import capture_logs

from services.gateway.instruments import Deviation, DeviationLog


def test_a_line_for_the_first_and_one_a_minute() -> None:
    """For each endpoint; the counts include every webhook."""
    now_s = 0.0
    log = DeviationLog(lambda: now_s)
    with capture_logs() as lines:
        log.add("default", [Deviation.PATH])
        for _ in range(3):
            log.add("default", [Deviation.CONTENT_TYPE])
        log.add("acme", [Deviation.BODY, Deviation.CONTENT_TYPE])
        now_s = 61.0
        log.add("default", [Deviation.PATH])

    assert [(one["endpoint_id"], one["deviations"], one["count"]) for one in lines] == [
        ("default", ["path"], 1),
        ("acme", ["body", "content_type"], 1),
        ("default", ["content_type", "path"], 4),
    ]
