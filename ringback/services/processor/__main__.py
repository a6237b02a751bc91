import sys

from ringback.runtime.process.end_by_signal import end_by_sigterm

if __name__ == "__main__":
    # Import this first: the rest takes a second or two to load, and reads OTEL_ variables.
    end_by_sigterm()

    from ringback.runtime.observability.otel_variables import drop_unusable

    drop_unusable()

    from ringback.runtime.process.lifecycle import run
    from ringback.services.processor.app import serve

    sys.exit(run(serve))
