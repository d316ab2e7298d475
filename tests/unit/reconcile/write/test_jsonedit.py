"""Members of jobs are set and taken out; every other byte stays as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailflip.base.errors import StoreInvalid
from tailflip.reconcile.write.jsonedit import MISSING, Edit, edit_jobs, read_member

ODD = """{
  "version": 1,
  "jobs": [
    {
      "id": "a",
      "name": "grüße \\u2028 \\/ 1.0",
      "every": 1e3,
      "big": 123456789012345678901234567890,
      "state": {
        "nextRunAtMs": 1.50,
        "runningAtMs": 1700000000000,
        "lastStatus": "ok"
      }
    },
    {
      "id": "b",
      "state": {
        "runningAtMs": 5
      }
    },
    {
      "id": "c",
      "enabled": true,
      "state": {}
    },
    null,
    {
      "id": "d"
    }
  ],
  "later": [{"runningAtMs": 9}]
}"""


def cut(*edits):
    return edit_jobs(ODD.encode(), edits).decode()


def test_only_the_member_goes():
    new = cut(Edit("a", ("state", "runningAtMs"), MISSING))
    assert new == ODD.replace('\n        "runningAtMs": 1700000000000,', "")


def test_first_last_and_only_member():
    assert cut(Edit("a", ("state", "nextRunAtMs"), MISSING)) == ODD.replace(
        '"nextRunAtMs": 1.50,\n        ', ""
    )
    assert cut(Edit("a", ("state", "lastStatus"), MISSING)) == ODD.replace(
        ',\n        "lastStatus": "ok"', ""
    )
    only = cut(Edit("b", ("state", "runningAtMs"), MISSING))
    assert only == ODD.replace('{\n        "runningAtMs": 5\n      }', "{}")


def test_values_are_replaced_in_place_and_added_at_the_end():
    assert cut(Edit("c", ("enabled",), False)) == ODD.replace('"enabled": true', '"enabled": false')
    assert cut(Edit("a", ("state", "lastRunAtMs"), 7)) == ODD.replace(
        '"lastStatus": "ok"\n', '"lastStatus": "ok",\n        "lastRunAtMs": 7\n'
    )
    assert cut(Edit("c", ("state", "x"), 7)) == ODD.replace(
        '"state": {}', '"state": {\n        "x": 7\n      }'
    )
    assert cut(Edit("d", ("state", "x"), 7)) == ODD.replace(
        '"id": "d"\n', '"id": "d",\n      "state": {\n        "x": 7\n      }\n'
    )


def test_what_gateway_would_write_is_what_we_write():
    root = json.loads(ODD.replace("1e3", "1000").replace("1.50", "1.5").replace("\\/", "/"))
    text = json.dumps(root, indent=2, ensure_ascii=False)
    edits = [
        Edit("a", ("state", "runningAtMs"), MISSING),
        Edit("c", ("state", "lastRunAtMs"), 3),
        Edit("c", ("enabled",), False),
    ]
    del root["jobs"][0]["state"]["runningAtMs"]
    root["jobs"][2]["state"]["lastRunAtMs"] = 3
    root["jobs"][2]["enabled"] = False
    meant = json.dumps(root, indent=2, ensure_ascii=False)
    got = edit_jobs(text.encode(), edits).decode()
    assert json.loads(got) == json.loads(meant)
    assert got.replace(
        '"later": [\n    {\n      "runningAtMs": 9\n    }\n  ]', ""
    ) == meant.replace('"later": [\n    {\n      "runningAtMs": 9\n    }\n  ]', "")


def test_absent_jobs_and_members_change_nothing():
    assert cut(Edit("nobody", ("enabled",), False)) == ODD
    assert cut(Edit("d", ("state", "runningAtMs"), MISSING)) == ODD
    assert cut(Edit("d", ("runningAtMs",), MISSING)) == ODD


def test_members_are_read():
    assert read_member(ODD.encode(), "a", ("state", "runningAtMs")) == 1700000000000
    assert read_member(ODD.encode(), "d", ("state", "runningAtMs")) is MISSING
    assert read_member(ODD.encode(), "x", ("id",)) is MISSING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "// comment\n{}",
        '{"jobs": {}}',
        '{"jobs": [{"id": "a", "id": "a"}]}',
        '{"jobs": [{"id": "a"}, {"id": "a"}]}',
        "\ufeff{}",
        '{"jobs": [{"id": "a",}]}',
    ],
)
def test_what_is_not_plain_is_refused(text):
    with pytest.raises(StoreInvalid, match="nothing was changed"):
        edit_jobs(text.encode(), [Edit("a", ("enabled",), False)])


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
states = st.dictionaries(st.sampled_from(["runningAtMs", "nextRunAtMs", "x", "é"]), values)
jobs = st.lists(
    st.builds(
        lambda state, more: {**more, "state": state},
        states,
        st.dictionaries(st.sampled_from(["enabled", "name", "payload"]), values),
    ),
    max_size=4,
).map(lambda found: [{"id": f"j{n}", **job} for n, job in enumerate(found)])
edits = st.lists(
    st.builds(
        Edit,
        st.sampled_from(["j0", "j1", "j2", "none"]),
        st.sampled_from([("enabled",), ("state", "runningAtMs"), ("state", "nextRunAtMs")]),
        st.just(MISSING) | st.booleans() | st.integers(),
    ),
    max_size=5,
)


# Whether a busy machine makes up jobs fast enough is not asked here.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(jobs, edits, st.sampled_from([None, 2, 4]))
def test_edits_mean_what_they_say_and_can_be_taken_back(found, wanted, indent):
    text = json.dumps({"version": 1, "jobs": found}, indent=indent, ensure_ascii=False).encode()
    new = edit_jobs(text, wanted)
    for edit in {(e.job_id, e.path): e for e in wanted}.values():
        if any(job["id"] == edit.job_id for job in found):
            got = read_member(new, edit.job_id, edit.path)
            assert got is MISSING if edit.value is MISSING else got == edit.value
    back = [Edit(e.job_id, e.path, read_member(text, e.job_id, e.path)) for e in wanted]
    assert json.loads(edit_jobs(new, back)) == json.loads(text)


def test_a_state_that_is_no_object_is_refused_and_needs_no_clearing():
    """A cron store with `"state": null` ended a hold with an error of ours."""
    text = b'{"version": 1, "jobs": [{"id": "a", "state": null}]}'
    with pytest.raises(StoreInvalid, match="state of a job is not an object"):
        edit_jobs(text, [Edit("a", ("state", "nextRunAtMs"), 5)])
    assert edit_jobs(text, [Edit("a", ("state", "runningAtMs"), MISSING)]) == text
    with pytest.raises(StoreInvalid, match="not plain JSON"):
        edit_jobs(b'{"jobs": [{"id": "a", "n": NaN}]}', [Edit("a", ("enabled",), False)])


def test_a_job_of_an_old_release_is_found_by_its_job_id():
    """The gateway takes `jobId` for the id until it has written the file anew."""
    text = (
        b'{"jobs": [{"jobId": " morning ", "state": {"runningAtMs": 1}}, {"id": "", "jobId": 7}]}'
    )
    assert read_member(text, "morning", ("state", "runningAtMs")) == 1
    new = edit_jobs(text, [Edit("morning", ("state", "runningAtMs"), MISSING)])
    assert new == text.replace(b'"runningAtMs": 1', b"")
