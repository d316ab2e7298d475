"""Entries of the incident's store, made once and filled in: chats, and runs of cron jobs."""

from __future__ import annotations

import json
import re
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SKILLS = 15
RUN_MS = 42_000
_SENTENCE = (
    "fetches, compares and summarises the newest readings before breakfast, then files "
    "a short note about each change so that nothing has to be looked up twice; "
)

# Stand-ins inside a template. Each is as long as what takes its place, so that the size
# of a store is known before it is written.
SESSION = "00000000-0000-5000-8000-000000000000"
AT, _STARTED = 1_111_111_111_111, 2_222_222_222_222
_HOLES = re.compile(f"({SESSION}|{AT}|{_STARTED}|@key@)")

CHATS: tuple[tuple[str, str | None, str, str, str], ...] = (
    ("main", None, "telegram", "direct", "100000001"),
    *(
        (f"telegram:group:-10020{i}", f"Group {i}", "telegram", "group", f"-10020{i}")
        for i in range(5)
    ),
    *(
        (f"discord:channel:3000{i}", f"Channel {i}", "discord", "channel", f"3000{i}")
        for i in range(2)
    ),
    *(
        (f"whatsapp:direct:+1555010{i}", f"Contact {i}", "whatsapp", "direct", f"+1555010{i}")
        for i in range(2)
    ),
)


class Template:
    """An entry serialised once; per entry only ids and times are filled in."""

    def __init__(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        self._parts = _HOLES.split(text)

    def fill(self, key: str, session: str, at_ms: int) -> bytes:
        """Return `,` + newline + the member; the caller drops the first comma."""
        values = {
            SESSION: session,
            str(AT): str(at_ms),
            str(_STARTED): str(at_ms - RUN_MS),
            "@key@": key,
        }
        body = "".join(values.get(part, part) for part in self._parts)
        return f',\n  "{key}": {body}'.encode()


def make_templates(
    job_names: Iterable[str], description_chars: int, *, wide: bool
) -> dict[Any, Template]:
    """Build a template per chat key and per (job name, status)."""
    snapshot = _skills_snapshot(description_chars, wide=wide)
    found: dict[Any, Template] = {}
    for key, label, channel, kind, peer in CHATS:
        found[key] = Template(_chat_entry(snapshot, label, channel, kind, peer))
    for name in job_names:
        for status in (None, "running", "failed"):
            found[name, status] = Template(_cron_entry(snapshot, name, status))
    return found


def _skills_snapshot(description_chars: int, *, wide: bool) -> dict[str, Any]:
    """Make what the gateway copies into each entry: the prompt, and where it came from."""
    each, rest = divmod(description_chars, SKILLS)
    prompt, resolved = ["\n\n<available_skills>\n"], []
    for index in range(SKILLS):
        name = f"skill-{index:02d}"
        letters = islice(cycle(_SENTENCE), index, index + each + (index < rest))
        description = "".join(letters)
        if wide:
            description = "\u2014" + description[1:]
        folder = f"/home/owner/.openclaw/workspace/skills/{name}"
        path = f"{folder}/SKILL.md"
        prompt.append(
            f"  <skill>\n    <name>{name}</name>\n    <description>{description}</description>\n"
            f"    <location>{path}</location>\n  </skill>\n"
        )
        resolved.append(
            {
                "name": name,
                "description": description,
                "filePath": path,
                "baseDir": folder,
                "sourceInfo": {"path": path, "source": "openclaw-workspace", "baseDir": folder},
                "disableModelInvocation": False,
            }
        )
    prompt.append("</available_skills>")
    return {
        "prompt": "".join(prompt),
        "skills": [{"name": skill["name"]} for skill in resolved],
        "resolvedSkills": resolved,
        "version": 0,
    }


def _prompt_report(snapshot: dict[str, Any]) -> dict[str, Any]:
    files = ("AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md")
    return {
        "source": "run",
        "generatedAt": AT,
        "sessionId": SESSION,
        "sessionKey": "@key@",
        "provider": "anthropic",
        "model": "claude-sonnet-4-6",
        "workspaceDir": "/home/owner/.openclaw/workspace",
        "bootstrapMaxChars": 20_000,
        "systemPrompt": {"chars": 21_400, "projectContextChars": 12_050},
        "injectedWorkspaceFiles": [
            {"name": name, "missing": False, "rawChars": 1_800 + 41 * index, "truncated": False}
            for index, name in enumerate(files)
        ],
        "skills": {
            "promptChars": len(snapshot["prompt"]),
            "entries": [{"name": s["name"], "blockChars": 480} for s in snapshot["skills"]],
        },
        "tools": {
            "listChars": 2_400,
            "entries": [
                {"name": f"tool_{index:02d}", "summaryChars": 130, "schemaChars": 810 + 7 * index}
                for index in range(24)
            ],
        },
    }


def _cron_entry(snapshot: dict[str, Any], label: str, status: str | None) -> dict[str, Any]:
    """Make a run's entry; one that was cut off never got its report and counters."""
    entry: dict[str, Any] = {
        "sessionId": SESSION,
        "updatedAt": AT,
        "systemSent": True,
        "label": f"Cron: {label}",
        "skillsSnapshot": snapshot,
        "modelProvider": "anthropic",
        "model": "claude-sonnet-4-6",
    }
    if status is None:
        return entry | _last_turn(snapshot)
    entry |= {"status": status, "startedAt": _STARTED}
    if status == "failed":
        entry |= {"endedAt": AT, "runtimeMs": RUN_MS}
    return entry | {"abortedLastRun": False}


def _chat_entry(
    snapshot: dict[str, Any], label: str | None, channel: str, kind: str, peer: str
) -> dict[str, Any]:
    to = f"{channel}:{peer}"
    entry: dict[str, Any] = {"sessionId": SESSION, "updatedAt": AT, "systemSent": True}
    if label:
        entry["label"] = label
    return (
        entry
        | {
            "chatType": kind,
            "deliveryContext": {"channel": channel, "to": to, "accountId": "default"},
            "lastChannel": channel,
            "lastTo": to,
            "lastAccountId": "default",
            "compactionCount": 1,
            "skillsSnapshot": snapshot,
            "modelProvider": "anthropic",
            "model": "claude-sonnet-4-6",
        }
        | _last_turn(snapshot)
    )


def _last_turn(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {
        "systemPromptReport": _prompt_report(snapshot),
        "contextTokens": 200_000,
        "inputTokens": 7_900,
        "outputTokens": 360,
        "totalTokens": 8_260,
        "totalTokensFresh": True,
        "cacheRead": 0,
        "cacheWrite": 0,
    }
