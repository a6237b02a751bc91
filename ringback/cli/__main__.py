import signal
import sys

from ringback.cli.app import run
from ringback.cli.terminal import EXIT_CLOSED_PIPE, forget_stdout


def main() -> None:
    # A shell makes its background processes ignore SIGINT. Ctrl-C must still end this one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
        status = EXIT_CLOSED_PIPE
    sys.exit(status)


if __name__ == "__main__":
    main()
