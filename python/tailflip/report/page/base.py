"""What all pages have in common: the document, its style, and what a browser may do with it.

A page needs nothing but itself: no script, no image, no font, no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib

from tailflip.report.page.html import Html, join, tag

STYLE = """
:root{color-scheme:light dark;--bg:#fafaf8;--card:#fff;--ink:#1b1b19;--soft:#5c5c57;--line:#d9d9d3;
--ok:#0b6b37;--warn:#8a5300;--bad:#b3261e;--mem:#2f5bb7;--limit:#8a8a84}
@media (prefers-color-scheme:dark){:root{--bg:#141413;--card:#1e1e1c;--ink:#ecece6;--soft:#a8a8a0;
--line:#3a3a36;--ok:#6fcf97;--warn:#f2b75c;--bad:#ff8a80;--mem:#8fb4ff;--limit:#8a8a84}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:16px}
header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;margin-bottom:12px}
h1{font-size:20px;margin:0}h2{font-size:15px;margin:24px 0 8px}
h3{font-size:12px;margin:0;color:var(--soft);font-weight:600}
p{margin:0}.soft{color:var(--soft)}.small{font-size:13px}
.verdict{border:1px solid var(--line);border-left:6px solid var(--soft);background:var(--card);
padding:10px 14px;border-radius:6px;overflow-wrap:anywhere}
.verdict p+p{margin-top:4px}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.verdict.ok,.verdict.warn,.verdict.bad{color:inherit}
.verdict.ok{border-left-color:var(--ok)}.verdict.warn{border-left-color:var(--warn)}
.verdict.bad{border-left-color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:8px;margin-top:12px}
.tile{border:1px solid var(--line);background:var(--card);border-radius:6px;padding:8px 12px;
overflow-wrap:anywhere}
.tile .value{font-size:17px;font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:8px}
figure{margin:0;border:1px solid var(--line);background:var(--card);border-radius:6px;
padding:8px 12px}
figcaption{font-size:13px;display:flex;flex-wrap:wrap;gap:0 12px}
svg{display:block;width:100%;height:auto}
.foot,.top{font-size:12px;color:var(--soft);display:flex;justify-content:space-between}
.series{fill:none;stroke:var(--mem);stroke-width:2;vector-effect:non-scaling-stroke}
.limit{stroke:var(--limit);stroke-dasharray:5 4}.axis{stroke:var(--line)}
.point{fill:var(--mem)}.death{fill:var(--bad)}.action{fill:var(--ok)}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line)}
td,th{text-align:left;padding:6px 10px;border-top:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
th{font-size:12px;color:var(--soft)}
code{font:13px ui-monospace,monospace;background:var(--bg);padding:1px 4px;border-radius:3px}
a{color:inherit}footer{margin-top:24px;font-size:13px;color:var(--soft)}
@media (max-width:620px){table,tbody,tr,td{display:block}thead{display:none}
td{border-top:0;padding:2px 10px}tr{border-top:1px solid var(--line);padding:6px 0}
tr:first-child{border-top:0}}
@media print{body{background:#fff}.tile,figure,table{break-inside:avoid}}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
# A file cannot say who may frame it: browsers take that from a header alone.
POLICY = f"{_POLICY}; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_document(title: str, *body: Html | str | None, is_file: bool = False) -> str:
    """Make a whole document.

    Args:
        title: of the window.
        body: what is shown.
        is_file: it is handed on as a file: it says itself what headers would say.
    """
    policy = tag("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        policy if is_file else None,
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        Html(f"<style>{STYLE}</style>"),
    )
    page = tag("html", head, tag("body", tag("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{page.text}\n"


def make_table(heads: tuple[str, ...], rows: list[tuple[Html | str, ...]]) -> Html:
    """Make a table."""
    head = tag("thead", tag("tr", *(tag("th", each, scope="col") for each in heads)))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("table", head, tag("tbody", *body))


def make_tile(name: str, value: str, more: str = "", tone: str = "") -> Html:
    """Make a tile with one value; `tone` is ok, warn, bad or empty, and colours what is said."""
    return tag(
        "div",
        tag("h3", name),
        tag("p", value, cls=f"value {tone}".strip()),
        tag("p", more, cls="soft small") if more else None,
        cls="tile",
    )


def join_words(*parts: Html | str | None) -> Html:
    """Put pieces beside each other, with a space between them."""
    found = [each for each in parts if each]
    return join(piece for each in found for piece in (each, " "))
