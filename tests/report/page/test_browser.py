"""Does a real browser show the page without a request or an error, and with scripts forbidden too?

Chromium is asked by its command line; without it the tests are skipped.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from sample_records import record

from benchbox.report.material import Material
from benchbox.report.page.writing import page_from_material
from benchbox.schema.record import Analytic

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]
# Nothing listens at the proxy: what a page requests fails, or its own policy forbids it, and the console says so.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--no-first-run", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", "--virtual-time-budget=3000",
)  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    """A page of two networks with a hostile name in two batches."""
    records = []
    for number, model in enumerate(('<b>&"one"', "two")):
        for batch in (1, 4):
            base = record(number * 2 + batch)
            cost = Analytic(
                params=10**6, macs=10**8 * batch * (number + 1), flops=1, weight_bytes=1, peak_activation_bytes=1
            )
            key = dataclasses.replace(base.key, model=model, batch=batch)
            records.append(dataclasses.replace(base, key=key, analytic=cost, flags=(), proof=None))
    return page_from_material(Material(title="Benchmarks", records=tuple(records)))


def opened(text: str, tmp_path: Path, *, anchor: str = "") -> tuple[str, str]:
    """The document after scripts ran, and what the console said."""
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(dir=tmp_path) as profile:
        done = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", f"{file.as_uri()}{anchor}"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def words_of(document: str) -> set[str]:
    """What a reader sees of the tables: every cell."""
    return {re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", document)}


def test_scripts_run_without_an_error(page: str, tmp_path: Path) -> None:
    document, console = opened(page, tmp_path)
    assert console == ""
    assert 'aria-sort="none"' in document
    assert 'tabindex="0"' in document.partition("<figure")[2].partition("</svg>")[0].partition("<svg")[2]


def test_the_address_holds_what_is_filtered(page: str, tmp_path: Path) -> None:
    document, console = opened(page, tmp_path, anchor="#off=batch%3D4")
    assert console == ""
    assert re.search(r'aria-pressed="false" data-filter="batch" data-value="4"', document)
    table = document.partition('id="records"')[2].partition("</table>")[0]
    assert len(re.findall(r'<tr[^>]*class="off"', table)) == 2


def test_with_scripts_and_styles_forbidden_every_number_and_picture_is_there(page: str, tmp_path: Path) -> None:
    forbidden = re.sub(r"""content="default-src 'none';[^"]*\"""", "content=\"default-src 'none'\"", page)
    assert forbidden != page
    document, console = opened(forbidden, tmp_path)
    assert "script" in console  # the browser says what it refused
    assert 'aria-sort="none"' not in document
    allowed, _ = opened(page, tmp_path)
    assert words_of(allowed) <= words_of(document)
    assert document.count("<svg ") == page.count("<svg ") > 0


def test_a_request_would_be_seen(page: str, tmp_path: Path) -> None:
    _, console = opened(page.replace("<main>", '<main><img src="http://elsewhere.invalid/x.png" alt="">'), tmp_path)
    assert "elsewhere.invalid" in console
