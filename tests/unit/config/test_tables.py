"""Destinations in the file: each a section of its own, with one address, and its secret kept."""

from __future__ import annotations

import pytest

from tailflip.base.errors import ConfigInvalid
from tailflip.config.load import Config, load

SECRET = "s3cret"  # noqa: S105 - a canary
NAME_RULE = "the name must be of letters, digits, - and _, at most 32 of them, and not be heartbeat"
PHONE = "[alerts.to.phone]\nurl_file = '~/phone.url'\nleast = 'notice'\n"


def load_text(tmp_path, text, mode=0o600, **options):
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return load({"HOME": "/home/claw", "TAILFLIP_CONFIG": str(path)}, **options)


def refuse(tmp_path, text, mode=0o600):
    with pytest.raises(ConfigInvalid) as caught:
        load_text(tmp_path, text, mode)
    assert SECRET not in caught.value.message
    return [each.replace(str(tmp_path / "config.toml"), "FILE") for each in caught.value.problems]


def test_a_destination_has_its_settings_and_where_they_are_from(tmp_path):
    loaded = load_text(tmp_path, PHONE)
    assert str(loaded.config.alerts.to["phone"].url_file) == "/home/claw/phone.url"
    assert loaded.config.alerts.to["phone"].least == "notice"
    origins = {key: one for key, one in loaded.origins.items() if key.startswith("alerts.to.")}
    path = str(tmp_path / "config.toml")
    assert origins == {
        "alerts.to.phone.url_file": path,
        "alerts.to.phone.url": "default",
        "alerts.to.phone.exec": "default",
        "alerts.to.phone.least": path,
        "alerts.to.phone.after": "default",
        "alerts.to.phone.quiet": "default",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[alerts]\nto = 3", "FILE:2: alerts.to: must be a section, found 3"),
        ("[alerts.to]\nphone = 3", "FILE:2: alerts.to.phone: must be a section, found 3"),
        (
            "[alerts.to]\nphone = 'ntfy://s3cret/t'",
            "FILE:2: alerts.to.phone: must be a section, found 'ntfy://***",
        ),
        (
            "[alerts.to.phone]",
            "FILE:1: alerts.to.phone: must have one of url_file, url and exec",
        ),
        (
            "[alerts.to.phone]\nurl = 'ntfy://s3cret'\nexec = '/bin/true'",
            "FILE:1: alerts.to.phone: must have one of url_file, url and exec",
        ),
        (
            "[alerts.to.'my phone']\nexec = '/bin/true'",
            f"FILE:1: alerts.to.my phone: {NAME_RULE}",
        ),
        (
            "[alerts.to.heartbeat]\nexec = '/bin/true'",
            f"FILE:1: alerts.to.heartbeat: {NAME_RULE}",
        ),
        (
            "[alerts.to.a]\nur_file = 's3cret'\nexec = '/bin/true'",
            "FILE:2: alerts.to.a.ur_file: no such setting (did you mean alerts.to.a.url_file?)",
        ),
        (
            "[alerts.to.a]\nexec = '/bin/true'\nleast = 'loud'",
            "FILE:3: alerts.to.a.least: must be one of critical, warning, notice, found 'loud'",
        ),
        (
            "[alerts.to.a]\nurl = 's3cret'",
            "FILE:2: alerts.to.a.url: must be an address, such as \"ntfy://…\", found '***'",
        ),
        (
            "[alerts.to.a]\nurl_file = 'ntfy://s3cret/t'",
            "FILE:2: alerts.to.a.url_file: must be an absolute path, found 'ntfy://***",
        ),
        (
            "[alerts.to.a]\nurl_file = '~/u'\nafter = 15",
            "FILE:3: alerts.to.a.after: must be a length of time, or false, found 15",
        ),
        (
            "[gateways.g.alerts.to.a]\nleast = 'notice'",
            "FILE:1: gateways.g.alerts.to.a: must have one of url_file, url and exec",
        ),
        (
            "[alerts]\nwho = 1",
            "FILE:2: alerts.who: no such setting",
        ),
    ],
)
def test_a_mistake_in_a_destination_is_one_line_with_its_place(tmp_path, text, expected):
    """Its address, which may be a secret, is in none of them."""
    assert refuse(tmp_path, text) == [expected]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_an_address_is_refused_in_a_file_that_others_can_read(tmp_path, mode):
    text = f"[alerts.to.a]\nurl = 'ntfy://host/{SECRET}'"
    (said,) = refuse(tmp_path, text, mode)
    assert said == (
        "FILE:2: alerts.to.a.url: stands in a file that is not yours alone: others can read it: "
        f"its mode is 0{mode:o}, not 0600; put the address into a file of its own, or "
        "`chmod 600 FILE`"
    )
    assert load_text(tmp_path, text).config.alerts.to["a"].url == f"ntfy://host/{SECRET}"
    # Without an address in it, the file may be read by all.
    load_text(tmp_path, PHONE, 0o644)


@pytest.mark.parametrize(
    ("mistake", "mode", "left"),
    [
        ("least = 'loud'\nexec = '/bin/true'", 0o600, "warning"),
        ("lest = 'critical'\nexec = '/bin/true'", 0o600, "warning"),
        ("exec = 'true'", 0o600, None),
        ("exec = ''", 0o600, None),
        ("exce = '/bin/true'", 0o600, None),
        ("url = 'ntfy://a'", 0o644, None),
        ("", 0o600, None),
    ],
)
def test_who_goes_on_with_a_mistake_keeps_the_other_destinations(tmp_path, mistake, mode, left):
    """The gateway is started and guarded all the same, and whoever can be told is told."""
    text = f"{PHONE}[alerts.to.a]\n{mistake}\n"
    loaded = load_text(tmp_path, text, mode, goes_on=True)
    assert loaded.mistakes
    to = loaded.config.alerts.to
    assert to["phone"].least == "notice"
    assert (to["a"].least if "a" in to else None) == left
    assert loaded.config.heal == Config().heal
    assert {key.split(".")[2] for key in loaded.origins if key.startswith("alerts.to")} == set(to)


def test_a_gateway_s_own_section_adds_to_a_destination_and_replaces_its_address(tmp_path):
    own = "[gateways.{0}.alerts.to.{1}]\n{2}\n".format
    text = (
        PHONE
        + own("work", "phone", "least = 'critical'")
        + own("night", "phone", "exec = '/bin/true'")
        + own("lab", "pager", "exec = '/bin/page'")
    )
    loaded = load_text(tmp_path, text)
    work = loaded.choose("work").config.alerts.to["phone"]
    assert (str(work.url_file), work.least) == ("/home/claw/phone.url", "critical")
    night = loaded.choose("night").config.alerts.to["phone"]
    assert (night.url_file, str(night.exec), night.least) == (None, "/bin/true", "notice")
    assert set(loaded.choose("lab").config.alerts.to) == {"phone", "pager"}
    assert set(loaded.config.alerts.to) == {"phone"}


def test_a_destination_is_of_the_file_alone(tmp_path):
    """In the environment and on the command line, others could see an address."""
    with pytest.raises(ConfigInvalid, match="TAILFLIP_ALERTS_TO_PHONE_URL: no such setting"):
        load({"TAILFLIP_CONFIG": "/dev/null", "TAILFLIP_ALERTS_TO_PHONE_URL": "ntfy://a"})
    with pytest.raises(ConfigInvalid, match=r"--set alerts.to.phone.url: no such setting"):
        load({"TAILFLIP_CONFIG": "/dev/null"}, {"alerts.to.phone.url": "ntfy://a"})


def test_what_is_put_on_record_of_the_file_holds_no_secret(tmp_path):
    """The last good settings are kept in the ledger; the token stood there too."""
    text = (
        f"# was: ntfy://old/{SECRET}\n[alerts.to.a]\nurl = 'ntfy://host/{SECRET}'\n"
        f'[gateways.g.alerts.to.b]\nurl = "https://host/{SECRET}\'s"\n'
    )
    good = load_text(tmp_path, text).text
    assert SECRET.encode() not in good
    assert b"ntfy://old" not in good
    # With a mistake in the file, the last good settings count, and people are told all the same.
    loaded = load_text(tmp_path, text + "[haal]\nx = 1\n", goes_on=True, last_good=good)
    assert loaded.is_last_good
    assert loaded.config.alerts.to["a"].url == f"ntfy://host/{SECRET}"
    assert loaded.choose("g").config.alerts.to["b"].url == f"https://host/{SECRET}'s"
    # Where nothing can be read of it, the address is nowhere.
    loaded = load_text(tmp_path, "no toml", goes_on=True, last_good=good)
    assert loaded.config.alerts.to == {}
    assert SECRET not in "".join(loaded.mistakes)


def test_a_secret_that_is_written_with_escapes_is_put_on_record_nowhere(tmp_path):
    assert load_text(tmp_path, '[alerts.to.a]\nurl = "ntfy://host/s3\\u0063ret"\n').text is None
