"""The command ``lora-edge``."""
