"""The settings of the page and the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, field_validator

from tailflip.base.listening import parse_address
from tailflip.config.kinds import Section, setting

if TYPE_CHECKING:
    from pydantic import ValidationInfo


def _check_address(text: str) -> str:
    parse_address(text)
    return text.strip()


Listen = Annotated[str, AfterValidator(_check_address)]


class ServeSettings(Section):
    """The page and the metrics, which `tailflip serve` answers with. They change nothing."""

    listen: Listen = setting(
        "127.0.0.1:9309",
        "where it listens: an address of this host with its port, or unix:PATH",
        form="an address with its port, or unix:PATH",
    )
    beyond_loopback: bool = setting(
        False,
        "listen on an address that others can reach; whoever asks needs the token all the same",
    )
    start: Literal["never", "on-demand"] = setting(
        "never",
        "on-demand: `run` and `watch` listen, start it at the first question, and it ends after "
        "ten quiet minutes",
    )
    hosts: str = setting(
        "",
        "names under which it may be asked, beside this host's own, such as "
        '"claw.example, 10.0.0.5"; it refuses all others',
    )
    token_file: Path | None = setting(
        None,
        "file of the token that /metrics wants; auto: serve.token in tailflip's own directory, "
        "made when it is needed",
        form="an absolute path",
    )

    @field_validator("beyond_loopback")
    @classmethod
    def _check_reach(cls, beyond: bool, info: ValidationInfo) -> bool:
        # `listen` is absent if it was refused itself.
        listen = info.data.get("listen")
        if listen is not None and not beyond and not parse_address(listen).is_loopback:
            raise ValueError(f"must be true to listen on serve.listen ({listen}), beyond this host")
        return beyond

    @property
    def host_names(self) -> frozenset[str]:
        """The further names, in small letters."""
        return frozenset(each.strip().lower() for each in self.hosts.split(",") if each.strip())
