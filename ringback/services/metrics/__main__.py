import sys

from ringback.runtime.process.end_by_signal import end_by_sigterm

if __name__ == "__main__":
    # Before the other imports, which take a second or two and read OTEL_ variables.
    end_by_sigterm()

    from ringback.runtime.observability.otel_variables import drop_unusable

    drop_unusable()

    from ringback.runtime.process.lifecycle import run
    from ringback.services.metrics.app import serve

    sys.exit(run(serve))
