"""How a cell's question is asked of an encoder. Protocols open no files and know neither zoo nor data sets.

`benchmark.protocol` says what each of them is.
"""

from collections.abc import Callable

from benchmark.protocols.finetune import decode, finetune, finetune_fused
from benchmark.protocols.fuse import dvme, dvme_no_attention
from benchmark.protocols.linear import linear
from benchmark.protocols.plain import knn, logistic
from benchmark.protocols.question import Answer, Question, TestOutput
from benchmark.training.loop import Diverged

__all__ = ["DECODERS", "PROTOCOLS", "TOGETHER", "Answer", "Question", "TestOutput"]
Ask = Callable[[Question], Answer]
PROTOCOLS: dict[str, Ask] = {
    "finetune": finetune,
    "logistic": logistic,
    "knn": knn,
    "dvme": dvme,
    "dvme-no-attention": dvme_no_attention,
    "dvme-finetune": finetune_fused,
}
# several questions at once: benchmark.protocol says `together`
TOGETHER: dict[str, Callable[[list[Question]], list[Answer | Diverged]]] = {"linear": linear}
# a frozen encoder under a fresh decoder
DECODERS: dict[str, Ask] = {"linear": decode}
