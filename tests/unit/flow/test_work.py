"""A session is named without what its key may hold of people."""

from __future__ import annotations

import pytest

from tailflip.flow.work import Work, WorkKind, name_session


@pytest.mark.parametrize("key", ["agent:main:main", "agent:ops:main"])
def test_a_main_session_is_named_by_its_key(key):
    assert name_session(key) == key


def test_other_names_hold_no_number_and_tell_sessions_apart():
    one, two = (f"agent:main:whatsapp:direct:+4915112345{n}" for n in (678, 679))
    name = name_session(one)
    assert name.startswith("agent:main:whatsapp:direct:~")
    assert "4915" not in name
    assert name != name_session(two)
    assert name == name_session(one)
    assert name_session("agent:main:+4915112345678").startswith("agent:main:~")


def test_words_say_the_kind():
    assert Work(kind=WorkKind.JOB, key="nightly").words == "job nightly"
    assert Work(kind=WorkKind.SESSION, key="agent:main:main").words == "session agent:main:main"
