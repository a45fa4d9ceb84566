"""Pages in one file: their policy, their data, their articles; and the exports of the page itself."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import ExportError
from plsync.ui import page as page_module
from plsync.ui.page import write_page
from tests.support.commands import run
from tests.support.hostile import TEXTS
from tests.support.models import Chat
from tests.support.page import page_of
from tests.support.page_journal import PNG, PageJournal

HOSTILE = {name: text[:5000] for name, text in TEXTS.items()} | {"end of a script": "</script><!--<script>alert(1)//"}


def written(journal: Path, file: Path, *names: str, hide: bool = False) -> str:
    with Journal.open(journal) as opened:
        records = map(opened.get, names) if names else opened.records()
        write_page(opened, records, file, hide=hide)
    return file.read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="plsync-data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    body: dict[str, Any] = json.loads(found[1])
    return body


@pytest.fixture(scope="module")
def exported(shown: PageJournal, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(shown.path, tmp_path_factory.mktemp("page") / "calls.html")


def test_a_page_has_all_that_the_program_needs(exported: str, shown: PageJournal, page: TestClient) -> None:
    data = data_of(exported)
    assert (data["format"], data["count"], data["hide_content"], data["read_only"]) == (1, 10, False, True)
    for row, served in zip(data["calls"], page.get("/api/calls").json()["calls"], strict=True):
        assert {**row, "metadata": {}} == served
    for name, record in shown.ids.items():
        if name == "tree":
            continue
        served = page.get(f"/api/calls/{record}").json()
        assert data["details"][record] == served
    assert data["trees"][shown.ids["tree"]]["count"] == 5
    picture = shown.ids["picture"]
    assert data["media"][f"{picture}/0"] == {"mime": "image/png", "base64": PNG}
    assert data["journal"]["path"] == "journal"
    assert str(shown.path.parent) not in exported


def test_the_policy_allows_this_program_and_these_styles_alone(exported: str) -> None:
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', exported)[0])
    hashes = re.findall(r"'sha256-([^']*)'", policy)
    script = exported.rpartition("<script>")[2].partition("</script>")[0]
    style = exported.partition("<style>")[2].partition("</style>")[0]
    assert hashes == [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (script, style)]
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall(r"<script", exported, re.IGNORECASE)) == 2
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", exported)


def test_a_page_is_read_without_its_program(exported: str, shown: PageJournal) -> None:
    plain = exported.partition('<main id="plain"')[2].partition("</main>")[0]
    assert plain.count("<article") == 10
    text = html.unescape(re.sub(r"<[^>]*>", " ", plain))
    for wanted in (
        "My invoice 2026-118",
        "Please ignore line 7.",
        "FAIL429 please",
        "19 % once is right.",
        "lookup_invoice",
    ):
        assert wanted in text
    assert "10 calls, content included" in text
    assert "sent #1007 to https://api.promptlayer.com" in text


def test_a_page_without_content_has_no_text_of_a_call(shown: PageJournal, tmp_path: Path) -> None:
    text = written(shown.path, tmp_path / "calls.html", hide=True)
    for secret in ("My invoice", "line 7", "FAIL429", "once is right", "Sunny", "tracker", PNG):
        assert secret not in text
    assert "content left out" in text
    data = data_of(text)
    assert data["hide_content"]
    assert data["calls"][0]["hidden"]


def test_only_the_chosen_calls_leave_the_machine(shown: PageJournal, tmp_path: Path) -> None:
    chosen = (shown.ids["in tree"], shown.ids["tools"])
    text = written(shown.path, tmp_path / "calls.html", *chosen)
    data = data_of(text)
    assert [row["id"] for row in data["calls"]] == list(chosen)
    assert set(data["details"]) == set(chosen)
    assert data["details"][shown.ids["tools"]]["earlier"] is None
    runs = {run["id"]: run for run in data["trees"][shown.ids["tree"]]["runs"]}
    assert [run["output"] for run in runs.values() if run["output"]] == ["Sunny."]
    assert "Please ignore line 7." not in text


def test_hostile_texts_stay_texts(path: Path, tmp_path: Path) -> None:
    for text in HOSTILE.values():
        handler = PromptLayerCallbackHandler(pl_tags=[text or "x"], journal=path)
        Chat().invoke(text, {"callbacks": [handler], "metadata": {text: text}, "run_name": text})
    found = written(path, tmp_path / "calls.html")
    assert len(re.findall(r"<script", found, re.IGNORECASE)) == 2
    assert len(re.findall(r"</script", found, re.IGNORECASE)) == 2
    assert len(data_of(found)["calls"]) == len(HOSTILE)
    plain = found.partition('<main id="plain"')[2].partition("</main>")[0]
    assert not re.search(r"<(?!/?(article|h[123]|dl|dt|dd|bdi|pre|p)\b)", plain.partition(">")[2])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", plain)


def test_a_program_with_an_end_of_a_script_in_it_is_whole(
    shown: PageJournal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "app.js").write_text('const a = "</script>", b = "</SCRIPT", c = "<!--";')
    (static / "app.css").write_text("a{}")
    monkeypatch.setattr(page_module, "_STATIC", static)
    found = written(shown.path, tmp_path / "calls.html")
    assert 'const a = "<\\/script>", b = "<\\/SCRIPT", c = "<\\!--";</script></body></html>' in found


def test_the_command_writes_a_page(shown: PageJournal, tmp_path: Path) -> None:
    file = tmp_path / "review.html"
    done = run(shown.path, "export", "--html", str(file), "--result", "error", "--hide-content")
    assert (done.returncode, done.stderr) == (0, "")
    size = f"{len(file.read_bytes()) / 1000:,.1f} kB"
    assert done.stdout == f"1 call ({size}, without content) written to {file}: open it in a browser\n"
    assert data_of(file.read_text())["query"] == "result error"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    again = run(shown.path, "export", "--html", str(file), "--result", "error")
    assert again.returncode == 1
    assert again.stderr == f"plsync: {file} exists and was not changed: choose another path\n"
    assert file.read_bytes() == before
    nothing = run(shown.path, "export", "--html", str(tmp_path / "none.html"), "--tag", "none")
    assert (nothing.returncode, (tmp_path / "none.html").exists()) == (1, False)


def test_a_page_that_cannot_be_written_leaves_no_file(shown: PageJournal, tmp_path: Path) -> None:
    with Journal.open(shown.path) as journal, pytest.raises(ExportError, match="no page was written"):
        write_page(journal, journal.records(), tmp_path / "missing" / "calls.html")
    assert not list(tmp_path.iterdir())


def test_the_page_exports_in_each_form(page: TestClient, shown: PageJournal, tmp_path: Path) -> None:
    def exported(**body: Any) -> Any:
        found = page.post("/api/export", json=body)
        assert found.status_code == 200, found.text
        assert found.headers["content-disposition"].startswith("attachment; filename=")
        return found

    lines = exported(format="jsonl", ids=[shown.ids["plain"], shown.ids["tree"]]).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [shown.ids["plain"], shown.ids["tree"]]
    recording = exported(format="recording", query="thread=t1").text.splitlines()
    assert len(recording) == 3
    data = data_of(exported(format="html", query="result=error&name=failed").text)
    assert [row["name"] for row in data["calls"]] == ["failed"]
    assert data["query"] == "result=error&name=failed"
    for body in ({}, {"format": "csv"}, {"format": "jsonl", "ids": []}, {"format": "html", "query": "x=y&result=bad"}):
        assert page.post("/api/export", json=body).status_code == 400


def test_a_hidden_page_exports_no_content(shown: PageJournal) -> None:
    with page_of(shown.path, hide_content=True, read_only=True) as page:
        for form in ("jsonl", "recording"):
            assert page.post("/api/export", json={"format": form, "query": ""}).status_code == 403
        assert page.post("/api/export", json={"format": "html", "query": "q=invoice"}).status_code == 403
        found = page.post("/api/export", json={"format": "html", "query": "name=plain"})
        assert "line 7" not in found.text
        assert data_of(found.text)["hide_content"]


def test_a_notebook_shows_a_record_with_its_images(shown: PageJournal) -> None:
    with Journal.open(shown.path) as journal:
        shows = {name: journal.get(one)._repr_html_() for name, one in shown.ids.items()}
    assert f"data:image/png;base64,{PNG}" in shows["picture"]
    assert "svg" not in re.findall(r"<img[^>]*>", shows["picture"])[0]
    assert shows["picture"].count("<img") == 1
    assert "My invoice 2026-118" in shows["plain"]
    assert "<script" not in "".join(shows.values())
