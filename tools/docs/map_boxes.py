"""Measure in Chromium whether text of a map is cut or overlaps.

Run by hand: ``python tools/docs/map_boxes.py FILE.html...`` on what
``kvm-tuning host map --output FILE.html`` wrote. Exits with 1 when a text
leaves its picture or its square, or meets another.
"""

import html
import json
from pathlib import Path
import re
import subprocess
import sys
import tempfile

_FLAGS = (
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--window-size=1300,900',
)  # fmt: skip
#: Pixels that two boxes may share: sides are rounded.
_SCRIPT = """
<script>
const box = e => e.getBoundingClientRect(), slack = 0.6, bad = [];
const texts = [...document.querySelectorAll('svg text')];
const within = (a, b) => a.left >= b.left - slack && a.top >= b.top - slack &&
  a.right <= b.right + slack && a.bottom <= b.bottom + slack;
const meet = (a, b) => a.left < b.right - slack && b.left < a.right - slack &&
  a.top < b.bottom - slack && b.top < a.bottom - slack;
const sheet = box(document.querySelector('svg'));
const cells = [...document.querySelectorAll('svg rect.cell')].map(box);
const boxes = texts.map(box);
texts.forEach((text, n) => {
  const own = boxes[n], say = text.textContent;
  if (!within(own, sheet)) bad.push('leaves the picture: ' + say);
  const square = text.classList.contains('mark') &&
    box(text.parentNode.querySelector('rect'));
  if (square && (own.left < square.left || own.right > square.right))
    bad.push('leaves its square: ' + say);
  for (const cell of cells)
    if (meet(own, cell) && !within(own, cell))
      bad.push('leaves a cell: ' + say);
  for (let m = n + 1; m < boxes.length; m++)
    if (!square && meet(own, boxes[m]))
      bad.push('meets ' + texts[m].textContent + ': ' + say);
});
const found = document.createElement('pre');
found.id = 'found';
found.textContent = JSON.stringify({texts: texts.length, bad: bad});
document.body.append(found);
</script>
"""


def measure(path: Path) -> tuple[int, list[str]]:
    """Return how many texts a page has, and what is wrong with them."""
    page = re.sub(r'<meta http-equiv=[^>]*>', '', path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / 'map.html'
        copy.write_text(page.replace('</body>', f'{_SCRIPT}</body>'))
        done = subprocess.run(
            [
                'chromium', *_FLAGS, f'--user-data-dir={folder}/profile',
                '--dump-dom', copy.as_uri(),
            ],
            check=True,
            capture_output=True,
            text=True,
        )  # fmt: skip
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout)
    if match is None:
        raise SystemExit(f'{path}: Chromium measured nothing')
    found = json.loads(html.unescape(match[1]))
    return found['texts'], found['bad']


def main() -> int:
    """Measure the pages that are named, and print what is wrong."""
    status = 0
    for name in sys.argv[1:]:
        texts, bad = measure(Path(name))
        print(f'{name}: {texts} texts, {len(bad)} wrong')
        for each in bad:
            print(f'  {each}')
        status |= bool(bad)
    return status


if __name__ == '__main__':
    raise SystemExit(main())
