"""`tailflip uninstall`: take away the files that `install` wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailflip.base.durable import RealDisk
from tailflip.base.errors import Usage
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.install import ServiceName, is_named
from tailflip.cli.install_text import format_record, print_lines, print_notes
from tailflip.cli.options import Apply, AsJson, end_with
from tailflip.install.apply import uninstall as apply_uninstall
from tailflip.install.manager import RealManager, is_manager_there
from tailflip.install.record import read_records
from tailflip.install.unfinished import tell_not_removed

if TYPE_CHECKING:
    from tailflip.base.errors import TailflipError


def uninstall(
    *,
    service: ServiceName = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Take away the files that `install` wrote, and put the old ones back. --apply does it.

    Archives and the ledger stay, because `tailflip restore` needs them. The gateway starts
    without tailflip from its next start on; OpenClaw from 2026.8.1 on restarts it for that.
    """
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    installed = list(read_records(workspace.home))
    records = [each for each in installed if is_named(each.subject, service or [])]
    if service and not records:
        raise Usage(
            f"not installed: {', '.join(service)}",
            hint=f"installed: {', '.join(each.subject for each in installed) or 'nothing'}",
        )
    outcomes = []
    if apply:
        for record in reversed(records):
            manager = RealManager(os.environ, record.manager)
            outcomes.append(apply_uninstall(record, workspace=workspace, manager=manager))
    told = [
        tell_not_removed(record, outcome)
        for record, outcome in zip(reversed(records), outcomes, strict=False)
    ]
    failed: list[TailflipError] = [error for error in told if error is not None]
    if as_json:
        from tailflip.cli.answers.services import Uninstall  # noqa: PLC0415 - for --json

        answer = Uninstall.to(applied=apply, services=records, outcomes=outcomes, failed=failed)
        answer.say()
    else:
        for record in records:
            print_lines(format_record(record, applied=apply))
            if apply and not is_manager_there(record.manager):
                print(f"  no {record.manager} runs here: nothing was to be stopped")
        print_notes(outcomes)
        if not records:
            print("nothing is installed")
        elif not apply:
            print("nothing was changed; add --apply to do it")
    end_with(failed)
