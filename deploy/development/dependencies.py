"""Print the development dependencies of pyproject.toml, one per line.

``pip install --group`` needs a newer pip than Debian 12 has.
"""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())
print("\n".join(project["dependency-groups"]["dev"]))
