"""The version of lora-edge: the one place where it is written.

``importlib.metadata`` would do, at the price of 1 MB of modules that nothing else here needs.
"""

VERSION = "0.1.0"
