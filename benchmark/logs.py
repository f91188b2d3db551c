"""Where the warnings of libraries go: to a logger, never between the lines that a user reads."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_hidden() -> Iterator[None]:
    """Sends Python's warnings to the logger `py.warnings` meanwhile, which writes them to stderr with --debug alone.

    A warning is about code, a library's or ours; what a user must know is said in words, in a record or a table.
    """
    logger = logging.getLogger("py.warnings")
    handler = logging.StreamHandler()
    handler.addFilter(lambda _: bool(os.environ.get("BENCHMARK_DEBUG")))  # known only once the options are read
    logger.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.removeHandler(handler)
