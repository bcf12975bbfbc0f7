"""Configuration: what the service can be told, and how it is read."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
