"""The `benchmark` command, and `python -m benchmark`: an interruption while its modules load ends it without a traceback."""

import signal


def main() -> None:
    """Runs the command line of this process and exits."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from benchmark.cli.main import main as run

    for number in (signal.SIGINT, signal.SIGTERM):  # a cluster ends a job by SIGTERM: states are written first
        signal.signal(number, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
