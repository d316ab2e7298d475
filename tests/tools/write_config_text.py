"""Write docs/configuration.md and systemd/tailflip.toml after a change of the settings."""

from pathlib import Path

from tailflip.cli.config_text import write_page, write_toml

ROOT = Path(__file__).parents[2]
(ROOT / "docs" / "configuration.md").write_text(write_page(), "utf-8")
(ROOT / "systemd" / "tailflip.toml").write_text(write_toml(), "utf-8")
