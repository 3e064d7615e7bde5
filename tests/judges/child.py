"""Runs in the judges' own environment: answers questions about one judge, a JSON line each.

``python child.py gwmp_judge`` imports that module from this folder. A question is
``{"function": name, "items": [...]}``; the answer is a list: of each item what the function
returned, or ``{"error": text}`` if it raised.
"""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any


def answer(function: Callable[[Any], Any], item: Any) -> Any:
    """What the judge says of one item."""
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001, RUF100 - whatever it is, it is the judge's opinion
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Until the other end closes the pipe."""
    judge = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        question = json.loads(line)
        function = getattr(judge, question["function"])
        answers = [answer(function, item) for item in question["items"]]
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
