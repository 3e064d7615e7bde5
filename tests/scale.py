"""How much of everything: 1 for everyday runs, more for the full figures (``make prove``)."""

import os

SCALE = int(os.environ.get("SCALE", "1"))
