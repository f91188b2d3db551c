"""Many cells: each scheduler knows only "run this cell", and tells of events as they happen.

Events are dicts with `event` and, where they are about a cell, its `key`: `started`, `epoch` (a history line), `cache`
(task, done, total), `done` and `failed` (reason), `requeued` (reason), `workers` (count, device).
"""
