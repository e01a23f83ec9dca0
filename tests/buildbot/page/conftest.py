"""A browser for each test of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.browser import Page, browser


@pytest.fixture(scope="session")
def _shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(_shared_browser: Page) -> Page:
    """One browser for all tests of a process; each master has a port of its own, and nobody is logged in."""
    _shared_browser.driver.get("about:blank")
    _shared_browser.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    return _shared_browser
