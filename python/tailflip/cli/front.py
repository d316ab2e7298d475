"""`gate`, `preflight` and `run`: the three verbs that a gateway starts behind.

They do without Typer: they run at every start, and `run` stays for weeks.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tailflip.base import clock, log
from tailflip.base.durable import RealDisk
from tailflip.base.errors import ConfigInvalid, NoPermission, TailflipError, Usage
from tailflip.base.life_variable import LIFE_VARIABLE
from tailflip.base.render import format_error
from tailflip.base.state_dir import Home
from tailflip.base.workspace import Workspace
from tailflip.cli.light import OPTIONS, read_options
from tailflip.diagnose.causes import GONE_PROGRAM
from tailflip.flow.lives import LifeMode
from tailflip.observe.gateway.foreground import find_misuse
from tailflip.observe.gateway.release import find_missing_file
from tailflip.supervise.new_life import new_life
from tailflip.supervise.preparation import log_admission
from tailflip.supervise.settings import prepare_gateway

if TYPE_CHECKING:
    from tailflip.cli.light import Given
    from tailflip.supervise.context import GuardedGateway
    from tailflip.supervise.gate import Verdict

_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def run_light(verb: str, argv: list[str]) -> int:
    """Run one of the three verbs and return its exit code; `gate` returns only to refuse."""
    own, dashes, command = _split(argv)
    given = read_options(verb, own)
    if given is None:
        from tailflip.cli.app import read_options_slowly  # noqa: PLC0415 - help and mistakes only

        given = read_options_slowly(verb, own)
    if given is None:  # help was all that was asked for
        return 0
    unit = given.last("unit")
    if not (command or unit) and (verb != "preflight" or dashes):
        raise Usage(
            "no command to start",
            hint=f"give the gateway's own: tailflip {verb} -- openclaw gateway run",
        )
    flags = _read_flags(verb, given)
    log.start("info")  # until the settings of this gateway are known
    if unit is not None:
        command = _follow_unit(Path(unit), command)
    workspace = Workspace(Home.locate(os.environ), RealDisk())
    gateway = prepare_gateway(command or ["openclaw"], os.environ, flags, workspace)
    if command:
        _refuse_misuse(verb, gateway)
    if verb == "run":
        return _supervise(gateway, flags)
    if verb == "preflight" and (wanted := given.last("release")) is not None:
        return _look_ahead(gateway, wanted, as_json="json" in given.flags)
    if verb == "preflight":
        return _preflight(gateway, as_json="json" in given.flags)
    return _gate(gateway, park="park" in given.flags)


def _split(argv: list[str]) -> tuple[list[str], bool, list[str]]:
    """Split our own options from the command; the dashes between them may be left out."""
    if "--" in argv:
        at = argv.index("--")
        return argv[:at], True, argv[at + 1 :]
    return argv, False, []


def _read_flags(verb: str, given: Given) -> dict[str, str]:
    flags = {
        option.key: value
        for option in OPTIONS[verb]
        if option.key is not None and (value := given.last(option.field))
    }
    for pair in given.texts.get("set", ()):
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
            "nothing can be remembered, and no store healed; how the last gateway ended is not put "
            "on record; the gateway starts all the same",
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
        _have_told(gateway, goes_on=park)
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
    _settle(gateway)
    env = dict(gateway.env)
    env[LIFE_VARIABLE] = _begin_life(gateway, verdict, LifeMode.GATE, os.getpid())
    _have_told(gateway, goes_on=True)
    program = gateway.command[0]
    log.flush()
    # Python ignores these two signals; a started program expects their defaults.
    ignored = {number: signal.signal(number, signal.SIG_DFL) for number in _IGNORED_BY_PYTHON}
    try:
        os.execvpe(program, list(gateway.command), env)  # noqa: S606 - the user's own command
    except OSError as e:
        for number, handler in ignored.items():
            signal.signal(number, handler)
        kind = NoPermission if isinstance(e, PermissionError) else ConfigInvalid
        refusal = kind(f"cannot start {program}: {e.strerror}", hint=GONE_PROGRAM)
        _note_failure(gateway, verdict, refusal, env[LIFE_VARIABLE])
        _have_told(gateway, goes_on=False)
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
        _answer(verdict)
    elif refusal is not None:
        log.say(format_error(refusal))
    else:
        print("go")
    if refusal is not None:
        _note_refusal(gateway, verdict, LifeMode.PREFLIGHT, None)
        _have_told(gateway, goes_on=False)
        return refusal.exit_code
    _settle(gateway)
    _begin_life(gateway, verdict, LifeMode.PREFLIGHT, None)
    _have_told(gateway, goes_on=True)
    return 0


def _settle(gateway: GuardedGateway) -> None:
    """Say what is lost with this process: on a full disk, how the last gateway ended."""
    left = gateway.record.settle()
    if left:
        log.error(
            "how the last gateway ended, and what was decided, could not be put on record: "
            "this log alone has it",
            notes=left,
            hint="make room on the disk of tailflip's own directory (`df -h`)",
        )


def _have_told(gateway: GuardedGateway, *, goes_on: bool) -> None:
    """Have people told what they must know, if any are to be told.

    Before a start, nobody waits for that. After a refusal, a service manager would end it with us.
    """
    from tailflip.supervise.orders import make_order  # noqa: PLC0415 - after the judgement

    order = make_order(gateway.name, gateway.config, gateway.env, is_starting=goes_on)
    if order is None:
        return
    from tailflip.supervise.process.errands import (  # noqa: PLC0415 - where people are told
        run_and_wait,
        run_detached,
    )

    (run_detached if goes_on else run_and_wait)(gateway.env, order)


def _look_ahead(gateway: GuardedGateway, wanted: str, *, as_json: bool) -> int:
    """Answer what the stores will meet in another release; changes nothing."""
    from tailflip.cli.ahead import print_ahead  # noqa: PLC0415 - before an upgrade only
    from tailflip.cli.answers.verbs import Preflight  # noqa: PLC0415
    from tailflip.report.look_ahead import look_by_size  # noqa: PLC0415
    from tailflip.stores.target import look  # noqa: PLC0415

    scene = look(
        gateway.release.env,
        state_dir=gateway.state_dir,
        profile=gateway.profile,
        settings=gateway.config,
    )
    ahead = look_by_size(scene, gateway.release, gateway.history, wanted)
    failed = [ConfigInvalid(each.says, hint=each.step) for each in ahead.grave]
    if as_json:
        Preflight.to(go=ahead.is_clear, looked=True, ahead=ahead, failed=failed).say()
    else:
        print_ahead(ahead)
    return failed[0].exit_code if failed else 0


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


def _answer(verdict: Verdict | None) -> None:
    from tailflip.cli.answers.verbs import Preflight  # noqa: PLC0415 - for --json

    if verdict is None:
        Preflight.to(go=True, looked=False).say()
        return
    admission, refusal = verdict.admission, verdict.refusal
    Preflight.to(
        go=verdict.go,
        looked=True,
        reason=refusal.message if refusal else admission.reason,
        hint=refusal.hint if refusal else None,
        notes=admission.notes,
        before=admission.before,
        after=admission.after,
        reports=admission.reports,
        death=verdict.death,
        failed=[refusal] if refusal else (),
    ).say()
