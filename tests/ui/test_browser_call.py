"""One call in a real browser: its parts, its actions, its export, and its way to PromptLayer."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no playwright: the tests of the page need it")

from playwright.sync_api import Browser, Route, expect

from plsync import Journal, PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model
from tests.support import commands
from tests.support.browser import WHOLE, Tab, axe, only_whole, rows, served, tab, until
from tests.support.hostile import TEXTS
from tests.support.models import FailingLLM
from tests.support.page import started_page
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter
from tests.support.ui_calls import UiJournal, human, ui_journal


def test_a_call_joins_tool_calls_with_answers_and_folds_thinking(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['tools']}")
    expect(page.locator(".tool-call")).to_contain_text("lookup_invoice")
    page.get_by_role("link", name="answer below").click()
    expect(page.locator(".message.tool")).to_be_focused()
    expect(page.locator(".message.tool")).to_contain_text("answers lookup_invoice")
    page.goto(page.url.replace(journal.ids["tools"], journal.ids["thinking"]))
    expect(page.get_by_text("The digits sum to 11")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Thinking")).click()
    expect(page.get_by_text("The digits sum to 11")).to_be_visible()
    page.goto(page.url.replace(journal.ids["thinking"], journal.ids["invalid"]))
    expect(page.locator(".tool-call.invalid")).to_contain_text("Not a valid call")
    page.goto(page.url.replace(journal.ids["invalid"], journal.ids["candidates"]))
    page.get_by_role("button", name="Answer 2").click()
    expect(page.locator(".message.answer")).to_contain_text("Northmole")
    page.goto(page.url.replace(journal.ids["candidates"], journal.ids["later"]))
    expect(page.locator(".message.human")).to_have_count(1)
    page.get_by_role("button", name=re.compile("earlier messages")).click()
    expect(page.locator(".message.human")).to_have_count(2)


@only_whole
def test_a_call_shows_its_picture_its_stream_and_its_error(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['image']}")
    until(page, "document.querySelector('.media img')?.naturalWidth === 320")
    page.goto(page.url.replace(journal.ids["image"], journal.ids["stream"]))
    expect(page.get_by_role("img", name=re.compile("90 pieces"))).to_be_visible()
    page.goto(page.url.replace(journal.ids["stream"], journal.ids["limited"]))
    expect(page.get_by_role("region", name="Error")).to_contain_text("RateLimitError · status 429")
    page.get_by_role("button", name="Response of the provider").click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("rate_limit_exceeded")


def test_texts_are_verbatim_until_markdown_is_chosen(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['markdown']}")
    expect(page.locator(".message.answer")).to_contain_text("## Three steps")
    page.get_by_role("button", name="Markdown").click()
    expect(page.locator(".answer .markdown td").first).to_have_text("Monday")
    expect(page.locator(".answer .markdown")).to_contain_text("<script>alert(1)</script>")
    assert page.evaluate("document.querySelectorAll('.markdown :is(a, script, img)').length") == 0
    page.reload()
    expect(page.locator(".answer .markdown pre")).to_contain_text("Journal.open")
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.locator(".markdown")).to_have_count(0)


@only_whole
def test_a_long_text_is_folded_until_a_click_shows_all(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['long']}")
    text = page.locator(".message.human .text")
    assert len(text.inner_text()) < 20_000
    page.get_by_role("button", name=re.compile("^Show all")).click()
    until(page, "document.querySelector('.message.human .text').textContent.length > 390000")


@only_whole
def test_copies_of_a_call_reach_the_clipboard(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['tools']}")
    for form, part in {
        "Answer": "Please ignore line 7",
        "Python, with LangChain": "init_chat_model",
        "curl": "$OPENAI_API_KEY",
        "pytest, with a recording": "plsync export",
    }.items():
        page.get_by_role("button", name="Copy", exact=True).first.click()
        page.get_by_role("button", name=form, exact=True).click()
        expect(page.get_by_text(f"Copied: {form}", exact=True)).to_be_visible()
        assert part in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("y")
    until(page, "navigator.clipboard.readText().then(text => text.startsWith('Please ignore line 7'))")


@only_whole
def test_fields_of_5_mb_and_thousands_of_messages_open_at_once(browser: Browser, tmp_path: Path) -> None:
    path, now = tmp_path / "journal", time.time_ns() // 1_000_000
    writer = SpoolWriter(path)
    large = writer.call("a line of a log\n" * 320_000, "x" * 5_000_000, at=now)
    long = writer.start({"kind": "chat", "messages": [human(f"message {number}") for number in range(3000)]}, at=now)
    writer.end(long, {"generations": []})
    writer.close()
    with served(path) as origin, tab(browser, origin) as opened:
        page = opened.open(f"/call/{large}")
        folded = page.get_by_role("button", name=re.compile("^Show all"))
        for left in (1, 0):
            folded.first.click()
            expect(folded).to_have_count(left)
        page.get_by_role("button", name="Markdown").click()
        until(page, "document.querySelector('.message.answer').textContent.length > 5000000")
        opened.open(f"/call/{long}")
        page.get_by_role("button", name=re.compile("earlier messages")).click()
        expect(page.get_by_text("message 2930", exact=True)).to_be_visible()
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
        opened.assert_calm()


def test_a_comparison_marks_the_words_that_differ(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/compare?a={journal.ids['refused']}&b={journal.ids['refused2']}")
    answer = page.locator(".message").last
    expect(answer.locator("del")).to_have_text(["Once"])
    expect(answer.locator("ins")).to_have_text(["Twice"])
    page.get_by_role("button", name="Inline").click()
    expect(answer.locator(".difference")).to_have_text("OnceTwice upon a time …")
    page.get_by_role("button", name="Swap").click()
    expect(answer.locator("del")).to_have_text(["Twice"])


def test_a_score_and_metadata_are_queued_from_the_page(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/?open={journal.ids['stream']}")
    expect(page.locator("#score")).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator("#score")).to_be_focused()
    page.keyboard.type("75")
    page.keyboard.press("Enter")
    expect(page.locator(".follow-ups")).to_contain_text("score default = 75")
    page.get_by_role("textbox", name="Key").fill("reviewer")
    page.get_by_label("Value", exact=True).last.fill("kim")
    page.get_by_role("button", name="Queue metadata").click()
    expect(page.locator(".follow-ups")).to_contain_text("metadata reviewer = kim")
    with Journal.open(journal.path) as stored:
        queued = [one.payload for one in stored.followups.history(journal.ids["stream"])]
    assert [one.get("score") for one in queued] == [75, None]


def test_refused_calls_are_found_by_their_reason_and_retried_after_a_question(opened: Tab, journal: UiJournal) -> None:
    page = opened.open("/delivery")
    expect(page.get_by_role("row", name=re.compile("422 the prompt is too long"))).to_contain_text("2")
    page.get_by_role("button", name=re.compile("^Retry the calls: 422")).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name=re.compile("^Retry the calls: 422")).click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").last).to_contain_text("The next plsync run sends them")
    expect(page.get_by_role("heading", name="Refused", exact=True)).to_have_count(0)
    with Journal.open(journal.path) as stored:
        assert {stored.get(journal.ids[name]).state for name in ("refused", "refused2")} == {"pending"}
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("The check found no damage")).to_be_visible()


def test_an_exported_page_works_from_a_file_without_network_and_is_readable_without_scripts(
    browser: Browser, opened: Tab, journal: UiJournal, tmp_path: Path
) -> None:
    page = opened.open("/?tag=support&tag=prod")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML page that opens offline").click()
    file = tmp_path / "calls.html"
    download.value.save_as(file)

    with tab(browser, "file://", offline=True) as offline:
        there = offline.page
        there.goto(file.as_uri())
        expect(there.locator(".banner").first).to_contain_text("content included")
        expect(rows(there)).to_have_count(2)
        expect(there.locator("#plain")).to_be_hidden()
        there.get_by_role("searchbox").fill("by mail today")
        there.keyboard.press("Enter")
        expect(rows(there)).to_have_count(1)
        rows(there).click()
        expect(there.locator(".message.answer")).to_contain_text("By post on Thursday")
        there.reload()
        expect(there.locator(".message.answer")).to_contain_text("By post on Thursday")
        assert axe(there) == []
        there.goto(f"{file.as_uri()}#/compare?a={journal.ids['tools']}&b={journal.ids['later']}")
        expect(there.get_by_role("heading", name="Compare")).to_be_visible()
        assert there.get_by_role("button", name=re.compile("^(Queue|Retry|Live)")).count() == 0
        offline.assert_calm()
    with tab(browser, "file://", offline=True, java_script_enabled=False) as bare:
        bare.page.goto(file.as_uri())
        expect(bare.page.locator("#plain")).to_contain_text("By post on Thursday, and by mail today.")
        expect(bare.page.locator("#plain article").first).to_be_in_viewport()


@only_whole
def test_a_page_that_only_reads_and_hides_has_no_text_and_no_form(browser: Browser, journal: UiJournal) -> None:
    with served(journal.path, read_only=True, hide_content=True) as origin, tab(browser, origin) as opened:
        page = opened.open(f"/?open={journal.ids['tools']}")
        expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("hidden")
        assert page.get_by_role("button", name=re.compile("^(Queue|Retry|Score)")).count() == 0
        opened.open("/delivery")
        assert page.get_by_role("button", name=re.compile("^Retry")).count() == 0
        assert "invoice is on its way" not in page.content()
        opened.assert_calm()


def test_the_hostile_corpus_is_shown_as_text(browser: Browser, origin: str, journal: UiJournal) -> None:
    names = list(TEXTS) if WHOLE else ["markup", "deep object"]
    with tab(browser, origin) as opened:
        page = opened.open("/?tag=hostile")
        page.evaluate("localStorage.setItem('plsync-texts', 'markdown')")
        for name in names:
            for suffix in ("", "?tab=settings", "?tab=metadata", "?tab=raw") if WHOLE else ("", "?tab=metadata"):
                opened.open(f"/call/{journal.ids[f'hostile {name}']}{suffix}")
            expect(page.get_by_text("The page cannot show these data")).to_have_count(0)
        opened.open(f"/call/{journal.ids['hostile markup']}")
        expect(page.locator(".message.human")).to_contain_text(TEXTS["markup"])
        opened.open(f"/call/{journal.ids['hostile right to left']}")
        expect(page.locator(".message.human .sign").first).to_have_text("U+202E")
        assert page.evaluate("[...document.scripts].map(one => new URL(one.src).pathname)") == ["/app.js"]
        opened.assert_calm()


def test_a_call_recorded_offline_is_found_scored_retried_and_sent(
    browser: Browser, tmp_path: Path, server: PromptLayerServer
) -> None:
    gpt4all = pytest.importorskip("langchain_community.llms.gpt4all")
    pytest.importorskip("gpt4all")
    path = tmp_path / "journal"
    handler = PromptLayerCallbackHandler(journal=path)
    model = gpt4all.GPT4All(model=str(write_tiny_model(tmp_path / "tiny.gguf")), n_threads=1, callbacks=[handler])
    key = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    model.invoke("tell me a joke")
    server.fail(422)
    assert commands.run(path, "run", "--once", **key).returncode == 3
    model.invoke("What is the capital of France?")
    with pytest.raises(ValueError, match="out of order"):
        FailingLLM(callbacks=[handler]).invoke("Are you there?")

    with started_page(path) as started, tab(browser, f"http://127.0.0.1:{started.port}") as opened:
        page = opened.page
        page.goto(started.link)
        expect(rows(page)).to_have_count(3)
        page.get_by_role("searchbox").fill("out of order")
        page.keyboard.press("Enter")
        expect(rows(page)).to_have_count(1)
        rows(page).click()
        expect(page.get_by_role("region", name="Error")).to_contain_text("ValueError")
        page.get_by_role("button", name="Remove the filter text: out of order").click()
        rows(page).filter(has_text="France").click()
        page.get_by_label("Score", exact=True).fill("90")
        page.get_by_role("button", name="Queue score").click()
        expect(page.locator(".follow-ups")).to_contain_text("score default = 90")
        page.get_by_role("link", name=re.compile("^Delivery 1 refused")).click()
        page.get_by_role("button", name=re.compile("^Retry the calls")).click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.get_by_role("heading", name="Refused", exact=True)).to_have_count(0)
        page.get_by_role("link", name="Calls", exact=True).click()
        expect(page.locator("td.sent", has_text="waiting")).to_have_count(3)
        assert commands.run(path, "run", "--once", **key).returncode == 0
        expect(page.locator("td.sent", has_text="sent #")).to_have_count(3)
        opened.assert_calm()
    assert [list(scores.values()) for scores in server.scores.values()] == [[90]]


PICTURES = {
    "ui-calls.png": ("/?tag=prod&open={tools}", "light"),
    "ui-usage.png": ("/usage", "light"),
    "ui-stream.png": ("/?model=gpt-4o&open={stream}", "dark"),
}


@only_whole
def test_the_pictures_of_the_docs_are_drawn_from_the_page(browser: Browser, tmp_path: Path) -> None:
    def with_usual_path(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "path": "/home/ada/.local/share/plsync/journal"})

    path = tmp_path / "journal"
    with ui_journal(path, bulk=400, hostile=False) as journal, served(path) as origin:
        for name, (address, theme) in PICTURES.items():
            with tab(browser, origin, width=1400, height=860, theme=theme) as opened:
                opened.page.route("**/api/journal", with_usual_path)
                page = opened.open(address.format(**journal.ids))
                page.wait_for_timeout(500)
                page.screenshot(path=ROOT / "docs" / "images" / name)
                opened.assert_calm()
