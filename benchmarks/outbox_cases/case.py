"""One case in a process of its own: ``python -m benchmarks.outbox_cases.case NAME JSON``.

Prints one line of JSON. In a process of its own, because then memory and CPU are that case's alone,
and a slow disk can be put under it.
"""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.outbox_cases import backlog, device_bytes, floors, producers, stages
from benchmarks.outbox_cases.rate import Case, Options

CASES: dict[str, Case] = {
    **floors.CASES,
    **producers.CASES,
    **stages.CASES,
    **device_bytes.CASES,
    **backlog.CASES,
}


def main(name: str, options_json: str) -> int:
    """Measure, and print."""
    values: dict[str, Any] = json.loads(options_json)
    paths = {field.name for field in fields(Options) if field.type is Path}
    values.update((name, Path(values[name])) for name in paths & values.keys())
    options = Options(**values)
    print(json.dumps(CASES[name](options)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
