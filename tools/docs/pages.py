"""Open every page of the built documentation in Chromium, and judge it.

``python tools/docs/pages.py AXE [PAGE...]`` after ``tox -e docs``, with the
path of axe-core's axe.min.js: at 1,280 and at 390 pixels no box of code is
cut, nothing runs out of the page, every link and anchor inside leads
somewhere, the contrast is WCAG's AA, the console is silent, and a page is
there within a second. ``tools/test.sh pages`` does so with all it needs.

Links to other sites are counted and not asked.
"""

from collections.abc import Iterator
import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import sys
import threading
from typing import Any
from urllib.parse import unquote, urldefrag

from lxml import html
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

BUILT = Path(__file__).parents[2] / 'doc/build/html'
WIDTHS = (1280, 390)
_HEIGHT = 900
_MOST_SECONDS = 1.0
# A page is opened again before it is called slow: others use this machine.
_TRIES = 3
_FLAGS = (
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--hide-scrollbars',
)  # fmt: skip
_CUT = """
const named = e => (e.textContent || e.tagName).trim().slice(0, 60);
const wide = document.documentElement.clientWidth;
const found = [];
for (const e of document.querySelectorAll('pre'))
  if (e.scrollWidth > e.clientWidth + 1) found.push('cut: ' + named(e));
for (const e of document.querySelectorAll('table, img, object, svg, dt, h1'))
  if (e.getBoundingClientRect().right > wide + 1)
    found.push('runs out of the page: ' + named(e));
if (document.documentElement.scrollWidth > wide + 1)
  found.push('the page is wider than the window');
return found;
"""
_AXE = """
const done = arguments[arguments.length - 1];
const rules = {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']};
axe.run(document, rules).then(result => done(result.violations.map(each =>
  each.id + ': ' + each.nodes.length + ', such as ' + each.nodes[0].html)));
"""
_SECONDS = """
const [page] = performance.getEntriesByType('navigation');
return page.loadEventEnd / 1000;
"""


class Anchors:
    """The pages, and what can be linked to in each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, set[str]] = {}
        self.others = 0

    def broken(self, page: Path) -> Iterator[str]:
        """Yield what is wrong with the links of a page."""
        for link in html.parse(str(page)).xpath('//@href | //@src'):
            if '://' in link or link.startswith(('mailto:', 'data:')):
                self.others += 1
                continue
            path, anchor = urldefrag(link)
            path = path.partition('?')[0]
            target = (page.parent / unquote(path)) if path else page
            if not target.is_file():
                yield f'leads nowhere: {link}'
            elif anchor and unquote(anchor) not in self._names(target):
                yield f'has no such anchor: {link}'

    def _names(self, page: Path) -> set[str]:
        if page not in self._known:
            found = html.parse(str(page)).xpath('//@id | //a/@name')
            self._known[page] = {*map(str, found), ''}
        return self._known[page]


def browser() -> webdriver.Chrome:
    """Return Debian's Chromium, without a window."""
    options = Options()
    options.binary_location = '/usr/bin/chromium'
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    service = Service('/usr/bin/chromedriver')
    return webdriver.Chrome(options=options, service=service)


class Quiet(SimpleHTTPRequestHandler):
    """Serves the pages: a browser refuses parts of what it reads as files."""

    def log_message(self, *arguments: object) -> None:
        pass


def serve(root: Path) -> ThreadingHTTPServer:
    """Return a server of the pages on a port of its own."""
    handler = functools.partial(Quiet, directory=str(root))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def judge(driver: Any, page: str, width: int, axe: str) -> Iterator[str]:
    """Yield what is wrong with a page at a width.

    :param page: its address.
    :param axe: the text of axe-core.
    """
    metrics = {
        'width': width,
        'height': _HEIGHT,
        'deviceScaleFactor': 1,
        'mobile': False,
    }
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    for _each in range(_TRIES):
        driver.get(page)
        seconds = driver.execute_script(_SECONDS)
        if seconds <= _MOST_SECONDS:
            break
    else:
        yield f'takes {seconds:.1f} s'
    for line in driver.get_log('browser'):
        yield f'on the console: {line["message"]}'
    yield from driver.execute_script(_CUT)
    driver.execute_script(axe)
    yield from driver.execute_async_script(_AXE)


def main(arguments: list[str]) -> int:
    """Print each fault, and return the exit status."""
    axe = Path(arguments[0]).read_text()
    pages = [BUILT / name for name in arguments[1:]] or sorted(
        path
        for path in BUILT.rglob('*.html')
        if '_static' not in path.relative_to(BUILT).parts
    )
    if not pages:
        sys.exit(f'{BUILT} has no pages: run tox -e docs first')
    faults = 0
    anchors = Anchors(BUILT)
    server = serve(BUILT)
    site = f'http://127.0.0.1:{server.server_port}'
    driver = browser()
    driver.set_script_timeout(60)
    try:
        for page in pages:
            name = page.relative_to(BUILT)
            for fault in anchors.broken(page):
                faults += 1
                print(f'{name}: {fault}')
            for width in WIDTHS:
                for fault in judge(driver, f'{site}/{name}', width, axe):
                    faults += 1
                    print(f'{name} at {width}: {fault}')
    finally:
        driver.quit()
        server.shutdown()
    print(
        f'{len(pages)} pages at {WIDTHS[0]} and {WIDTHS[1]} pixels: {faults} '
        f'faults; {anchors.others} links to other sites were not asked'
    )
    return int(faults > 0)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
