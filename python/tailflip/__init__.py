"""tailflip: brings an OpenClaw gateway back from an out-of-memory crash loop."""


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: that costs a tenth of a whole start."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415

    return version("tailflip")
