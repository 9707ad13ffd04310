"""Debian's Chromium, without a window, for the tests of pages."""

import shutil
from contextlib import contextmanager

import pytest

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE = 300_000  # milliseconds, where a machine is busy
needed = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")


@contextmanager
def opened():
    """Chromium, for as long as the context lasts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments, timeout=PATIENCE)
        yield browser
        browser.close()
