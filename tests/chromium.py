"""Debian's Chromium, without a window, for the tests of pages."""

import shutil
from contextlib import contextmanager

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
