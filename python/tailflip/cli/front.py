"""`gate`, `preflight` and `run`: the three verbs that a gateway starts behind.

argparse reads their options: they run at every start, and `run` stays for weeks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ConfigInvalid, NoPermission, TailflipError, Usage
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.base.render import format_error
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.diagnose.causes import GONE_PROGRAM
from tailflip.flow.lives import LifeMode
from tailflip.observe.gateway.foreground import find_misuse
from tailflip.observe.gateway.release import find_missing_file
from tailflip.supervise.new_life import new_life
from tailflip.supervise.preparation import log_admission
from tailflip.supervise.settings import prepare_gateway

if TYPE_CHECKING:
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.gate import Verdict

ABOUT = {
    "gate": "Look at the session stores, heal what must be, then become COMMAND.",
    "preflight": "The same without COMMAND being started: exit code 0 says go.",
    "run": "Start COMMAND and guard it: watch, find out why it died, heal, start again.",
}
_MORE = {
    "gate": "For a service manager that restarts the gateway itself: put `tailflip gate --` in "
    "front of its command. Nothing of tailflip stays behind in the process.",
    "preflight": "For ExecStartPre= and init containers. COMMAND tells which gateway will start, "
    "and with which heap.",
    "run": "SIGTERM and SIGINT stop both, SIGHUP reads the settings again, SIGUSR1 and SIGUSR2 "
    "restart the gateway. `tailflip status` shows how it goes.",
}
_SHORT = {
    "--state-dir": ("gateway.state_dir", "DIR", "OpenClaw's state directory"),
    "--profile": ("gateway.profile", "NAME", "OpenClaw's profile"),
    "--port": ("gateway.port", "PORT", "the gateway's port"),
    "--heap-limit": ("gateway.heap_limit", "SIZE", "the gateway's heap limit, such as 2gb"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(message, hint=f"see `{self.prog} --help`")


class _Once(argparse.Action):
    """Takes one value; a second one is refused, for the first would be dropped in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest, None) is not None:
            parser.error(f"{option_string} was given twice")
        setattr(namespace, self.dest, values)


def run_light(verb: str, argv: list[str]) -> int:
    """Run one of the three verbs and return its exit code; `gate` returns only to refuse."""
    own, dashes, command = _split(argv)
    try:
        options = _build_parser(verb).parse_args(own)
    except SystemExit:  # --help was all that was asked for
        return 0
    if not (command or options.unit) and (verb != "preflight" or dashes):
        raise Usage(
            "no command to start",
            hint=f"give the gateway's own: tailflip {verb} -- openclaw gateway run",
        )
    flags = _read_flags(options)
    log.start("info")  # until the settings of this gateway are known
    if options.unit is not None:
        command = _follow_unit(options.unit, command)
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    gateway = prepare_gateway(command or ["openclaw"], os.environ, flags, workspace)
    if command:
        _refuse_misuse(verb, gateway)
    if verb == "run":
        return _supervise(gateway, flags)
    if verb == "preflight":
        return _preflight(gateway, as_json=options.json)
    return _gate(gateway, park=options.park)


def _split(argv: list[str]) -> tuple[list[str], bool, list[str]]:
    """Split our own options from the command; the dashes between them may be left out."""
    if "--" in argv:
        at = argv.index("--")
        return argv[:at], True, argv[at + 1 :]
    return argv, False, []


def _build_parser(verb: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"tailflip {verb}",
        usage=f"tailflip {verb} [OPTIONS] -- COMMAND [ARGUMENTS]",
        description=ABOUT[verb],
        epilog=f"{_MORE[verb]} Exit codes are those of `tailflip --help`.",
    )
    for name, (key, metavar, meaning) in _SHORT.items():
        parser.add_argument(name, dest=key, metavar=metavar, help=meaning, action=_Once)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any setting, such as heal.admission=false; `tailflip config show` lists them",
    )
    parser.add_argument(
        "--unit",
        type=Path,
        action=_Once,
        metavar="FILE",
        help="a unit of systemd: start what its own ExecStart says now; COMMAND only if that "
        "cannot be read",
    )
    if verb == "gate":
        parser.add_argument(
            "--park",
            action="store_true",
            help="do not exit when the start is refused: wait, and look again once something "
            "has changed; for launchd, which would start it again whatever the exit code",
        )
    if verb == "preflight":
        parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    return parser


def _read_flags(options: argparse.Namespace) -> dict[str, str]:
    flags = {key: value for key, _, _ in _SHORT.values() if (value := getattr(options, key))}
    for pair in options.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise Usage(f"--set wants KEY=VALUE, found {pair}")
        if key.strip() in flags:
            raise Usage(f"{key.strip()} was given twice, as --set {pair} too")
        flags[key.strip()] = value
    return flags


def _load_ahead() -> None:
    """Import modules that a death will need: an update may replace our files while we live."""
    for name in ("stores.salvage", "stores.transaction", "reconcile.before_start"):
        import_module(f"tailflip.{name}")
    import_module("json5")


def _refuse_misuse(verb: str, gateway: GuardedGateway) -> None:
    """Refuse a command that starts no gateway, before it is started again and again.

    Raises:
        Usage: it certainly starts none, and was to be started.
    """
    found = find_misuse(gateway.command, gateway.release)
    if found is None:
        return
    meant = f"give the command that stays: tailflip {verb} -- openclaw gateway run"
    if found.is_certain and verb != "preflight":
        raise Usage(f"`{found.said}` starts no gateway that stays, and ends by itself", hint=meant)
    log.warning("this looks like a command that ends by itself", found=found.said, hint=meant)


def _supervise(gateway: GuardedGateway, flags: dict[str, str]) -> int:
    _load_ahead()
    from tailflip.base.sdnotify import Notifier  # noqa: PLC0415 - gate does without
    from tailflip.supervise.wiring import make_supervisor  # noqa: PLC0415

    return make_supervisor(gateway, Notifier.from_env(os.environ), flags).run()


def _judge(gateway: GuardedGateway, *, is_parking: bool = False) -> Verdict | None:
    """Judge a start; None if the judgement failed, so that the gateway starts all the same.

    With `--park`, say at once that the start waits for another gateway's end.
    """
    from tailflip.supervise.gate import HAND_OFF_S, judge_start  # noqa: PLC0415

    try:
        return judge_start(gateway, patience_s=0 if is_parking else HAND_OFF_S)
    except (TailflipError, OSError) as e:
        hint = e.hint if isinstance(e, TailflipError) else None
        log.error(
            "nothing can be remembered, and no store healed; the gateway starts all the same",
            error=e,
            hint=hint,
        )
        return None


def _follow_unit(path: Path, command: list[str]) -> list[str]:
    """Read the command from the present unit, because OpenClaw writes it anew at updates."""
    from tailflip.observe.host.unitfile import UnitUnreadable, read_command  # noqa: PLC0415

    try:
        found = read_command(path, os.environ)
        if Path(found[0]).name == "tailflip":
            raise UnitUnreadable("it starts tailflip")  # noqa: TRY301 - as good as no command
    except (OSError, UnitUnreadable) as e:
        log.warning("the unit's own command cannot be read", unit=path, error=e)
        return command
    return found


def _look(gateway: GuardedGateway) -> tuple[str, ...]:
    from tailflip.supervise.gate import look_for_change  # noqa: PLC0415

    return look_for_change(gateway)


def _gate(gateway: GuardedGateway, *, park: bool) -> int:
    seen = _look(gateway) if park else ("", "")
    verdict = _judge(gateway, is_parking=park)
    while verdict is not None:
        log_admission(verdict.admission)
        if verdict.refusal is None:
            break
        log.say(format_error(verdict.refusal))
        _note_refusal(gateway, verdict, LifeMode.GATE, os.getpid() if park else None)
        if not park:
            return verdict.refusal.exit_code
        from tailflip.supervise.gate import wait_for_change, wait_for_end  # noqa: PLC0415

        if verdict.other is not None:
            wait_for_end(gateway)
        else:
            wait_for_change(gateway, seen)
        gateway.look_at_release()
        seen = _look(gateway)
        verdict = _judge(gateway, is_parking=True)
    env = dict(gateway.env)
    env[LIFE_VARIABLE] = _begin_life(gateway, verdict, LifeMode.GATE, os.getpid())
    # Python ignores these two signals; a started program expects their defaults.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    program = gateway.command[0]
    log.flush()
    try:
        os.execvpe(program, list(gateway.command), env)  # noqa: S606 - the user's own command
    except OSError as e:
        kind = NoPermission if isinstance(e, PermissionError) else ConfigInvalid
        refusal = kind(f"cannot start {program}: {e.strerror}", hint=GONE_PROGRAM)
        _note_failure(gateway, verdict, refusal, env[LIFE_VARIABLE])
        raise refusal from e


def _preflight(gateway: GuardedGateway, *, as_json: bool) -> int:
    gone = find_missing_file(gateway.command, gateway.env)
    if gone is not None:
        raise ConfigInvalid(f"cannot start {gone}: it is not there", hint=GONE_PROGRAM)
    verdict = _judge(gateway)
    refusal = verdict.refusal if verdict is not None else None
    if verdict is not None:
        log_admission(verdict.admission)
    if as_json:
        print(json.dumps(_describe(verdict), default=str))
    elif refusal is not None:
        log.say(format_error(refusal))
    else:
        print("go")
    if refusal is not None:
        _note_refusal(gateway, verdict, LifeMode.PREFLIGHT, None)
        return refusal.exit_code
    _begin_life(gateway, verdict, LifeMode.PREFLIGHT, None)
    return 0


def _begin_life(
    gateway: GuardedGateway, verdict: Verdict | None, mode: LifeMode, pid: int | None
) -> str:
    """Record the start: the next start infers the end of this life from it."""
    from tailflip.supervise.gate import describe_start  # noqa: PLC0415

    start = describe_start(verdict, mode, pid)
    life = new_life(gateway, mode, start.at_ms)
    life = life.model_copy(update={"pid": start.pid, "pid_ticks": start.pid_ticks})
    start = start.model_copy(update={"life": life.id})
    try:
        gateway.history.lives.begin(life, start)
    except (TailflipError, OSError) as e:
        # Where the judgement failed, it was told already that nothing can be remembered.
        tell = log.error if verdict is not None else log.debug
        tell("the start could not be put on record", error=e)
    return life.id


def _note_failure(
    gateway: GuardedGateway, verdict: Verdict | None, refusal: TailflipError, life_id: str
) -> None:
    """Record that a start that was let through did not come about."""
    from tailflip.supervise.admission import Admission  # noqa: PLC0415
    from tailflip.supervise.gate import Verdict  # noqa: PLC0415

    life = gateway.record.find_life(life_id)
    if life is not None:
        gateway.record.end_life(life.model_copy(update={"ended_ms": clock.now_ms()}))
    admission = verdict.admission if verdict is not None else Admission()
    _note_refusal(gateway, Verdict(admission, refusal), LifeMode.GATE, None)


def _note_refusal(
    gateway: GuardedGateway, verdict: Verdict | None, mode: LifeMode, pid: int | None
) -> None:
    from tailflip.supervise.gate import describe_start  # noqa: PLC0415

    start = describe_start(verdict, mode, pid)
    gateway.record.record_start(start)


def _describe(verdict: Verdict | None) -> dict[str, object]:
    if verdict is None:
        return {"go": True, "looked": False}
    from tailflip.flow.values import to_plain  # noqa: PLC0415

    return {
        "go": verdict.go,
        "looked": True,
        "reason": verdict.refusal.message if verdict.refusal else verdict.admission.reason,
        "hint": verdict.refusal.hint if verdict.refusal else None,
        "notes": verdict.admission.notes,
        "before": to_plain(verdict.admission.before),
        "after": to_plain(verdict.admission.after),
        "reports": [to_plain(report) for report in verdict.admission.reports],
        "death": to_plain(verdict.death) if verdict.death else None,
    }
