"""How a cell's question is asked of an encoder. Protocols open no files and know neither zoo nor data sets."""

from collections.abc import Callable

from benchmark.protocols.finetune import finetune
from benchmark.protocols.question import Answer, Question

PROTOCOLS: dict[str, Callable[[Question], Answer]] = {"finetune": finetune}
