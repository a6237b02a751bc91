import signal
import sys


def main() -> None:
    # A shell makes its background processes ignore SIGINT. Ctrl-C must still end this one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = _run()
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "ringback":
            raise
        sys.exit(
            f"The command ringback needs {exc.name}, which a plain installation leaves out: "
            'run `pip install "ringback[server]"`.'
        )
    sys.exit(status)


def _run() -> int:
    # Imported here: a plain installation lacks what these modules need.
    from ringback.cli.app import run  # ruff: ignore[import-outside-top-level]
    from ringback.cli.terminal import (  # ruff: ignore[import-outside-top-level]
        EXIT_CLOSED_PIPE,
        forget_stdout,
    )

    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
        return EXIT_CLOSED_PIPE
    return status


if __name__ == "__main__":
    main()
