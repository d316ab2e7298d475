"""tailflip: brings an OpenClaw gateway back from an out-of-memory crash loop."""

from importlib.metadata import version

__version__ = version("tailflip")
