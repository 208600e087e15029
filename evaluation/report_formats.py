"""A report as a list of blocks, written as text, as Markdown and as one HTML file that needs nothing beside it.

    blocks = [Heading("Scores"), Text("…"), Table(["", "Jaccard"], [["all", "0.82"]]), Pictures([("ROC.png", "ROC")])]
    text(title, blocks), markdown(title, blocks), html(title, blocks, folder)

Pictures are named by their path inside `folder`; HTML carries them inside, text leaves them out.
"""

import base64
import html as escaping
from dataclasses import dataclass
from pathlib import Path

import cv2

from imaging import palette


@dataclass
class Heading:
    title: str


@dataclass
class Text:
    words: str


@dataclass
class Headline:
    """A few numbers, large: (label, value, what stands below it)."""

    numbers: list[tuple[str, str, str]]


@dataclass
class Table:
    """The first column names the rows; `note` stands below. folded: HTML shows it in several narrow columns."""

    header: list[str]
    rows: list[list[str]]
    note: str = ""
    folded: bool = False


@dataclass
class Pictures:
    """PNG files, (path inside the folder, caption): two side by side, one as wide as the page; small: four in a row."""

    files: list[tuple[str, str]]
    small: bool = False


@dataclass
class Links:
    """To other pages: (path from this one's folder, words)."""

    pages: list[tuple[str, str]]


# === Text ===


def text(title: str, blocks: list) -> str:
    """Plain text with aligned columns."""
    lines = [title, "=" * len(title)]
    for block in blocks:
        match block:
            case Heading(words):
                lines += ["", words, "-" * len(words)]
            case Text(words):
                lines += [words]
            case Table(header, rows, note):
                lines += ["", *_aligned([header, *rows]), *_optional(note)]
    return "\n".join(lines) + "\n"


def _optional(note):
    return [note] if note else []


def _aligned(rows):
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "   ".join([row[0].ljust(len(first)), *others]).rstrip()


# === Markdown ===


def markdown(title: str, blocks: list) -> str:
    """GitHub's Markdown; pictures are links to the files beside it."""
    parts = [f"# {title}"]
    for block in blocks:
        match block:
            case Heading(words):
                parts.append(f"## {words}")
            case Text(words):
                parts.append(words)
            case Table(header, rows, note):
                cells = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
                parts.append(_rows(cells))
                parts += _optional(note)
            case Headline(numbers):
                names, values, below = zip(*numbers, strict=True)
                parts.append(_rows([names, ["---:"] * len(names), values, below]))
            case Links(pages):
                parts.append("\n".join(f"- [{words}]({path})" for path, words in pages))
            case Pictures(files):
                parts += [f"![{caption}]({name})" for name, caption in files]
    return "\n\n".join(parts) + "\n"


def _rows(rows):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


# === HTML ===

STYLE = (
    f"""
:root {{ color-scheme: light; --ink: {palette.INK}; --paper: {palette.PAPER}; --soft: {palette.SOFT_INK};
        --line: {palette.LINE}; --strong: {palette.STRONG_LINE}; --under: {palette.ROW_UNDER_POINTER};
        --accent: {palette.ACCENT}; }}
"""
    + """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.5rem 4rem; color: var(--ink); background: var(--paper);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 50rem; }
p.note { color: var(--soft); font-size: .87rem; margin-top: -.2rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .32rem 0 .32rem 1.5rem; text-align: right; white-space: nowrap;
         border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 8.5rem; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; border-bottom-color: var(--strong);
     white-space: normal; }
tbody tr:hover { background: var(--under); }
.wide { overflow-x: auto; }
.folded { columns: 20rem 3; column-gap: 2.5rem; font-size: .84rem; margin: .8rem 0; }
.folded div { display: flex; justify-content: space-between; gap: 1rem; border-bottom: 1px solid var(--line);
              break-inside: avoid; padding: .12rem 0; }
.folded span:last-child { text-align: right; overflow-wrap: anywhere; }
.headline { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.3rem 0; }
.headline div { flex: 1 1 9rem; border: 1px solid var(--line); border-top: 3px solid var(--accent); border-radius: 4px;
                padding: .7rem 1rem; }
.headline b { display: block; font-size: 1.75rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.headline span { display: block; color: var(--soft); font-size: .85rem; }
.pictures { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
            align-items: start; }
.pictures.small { grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .9rem; }
figure { margin: 0; break-inside: avoid; }
.pictures figure:only-child { grid-column: 1 / -1; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .84rem; margin-top: .25rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  table { font-size: 8.5pt; } th, td { padding-left: 1rem; } h2 { margin-top: 1.4rem; }
  .headline { flex-wrap: nowrap; gap: .5rem; } .headline div { padding: .4rem .6rem; }
  h2 { break-after: avoid; } table, .headline { break-inside: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; } .pictures.small { grid-template-columns: repeat(4, 1fr); }
  .wide { overflow: visible; } @page { margin: 16mm; }
}
"""
)


def html(title: str, blocks: list, folder: str | Path) -> str:
    """One self-contained page: style and pictures inside, nothing loaded from elsewhere, made to be printed too."""
    body = "\n".join(_html_of(block, Path(folder)) for block in blocks)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{_safe(title)}</h1>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _safe(words):
    return escaping.escape(str(words))


def _html_of(block, folder):
    match block:
        case Heading(words):
            return f"<h2>{_safe(words)}</h2>"
        case Text(words):
            return f"<p>{_safe(words)}</p>"
        case Headline(numbers):
            boxes = (
                f"<div><span>{_safe(a)}</span><b>{_safe(b)}</b><span>{_safe(c)}</span></div>" for a, b, c in numbers
            )
            return f'<div class="headline">{"".join(boxes)}</div>'
        case Table(_, rows, _, True):
            cells = ("".join(f"<span>{_safe(cell)}</span>" for cell in row) for row in rows)
            return '<div class="folded">' + "".join(f"<div>{row}</div>" for row in cells) + "</div>"
        case Table(header, rows, note):
            head = "".join(f"<th>{_safe(cell)}</th>" for cell in header)
            body = "\n".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            below = f'<p class="note">{_safe(note)}</p>' if note else ""
            return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}'
        case Links(pages):
            return "".join(f'<p><a href="{_safe(path)}">{_safe(words)}</a></p>' for path, words in pages)
        case Pictures(files, small):
            figures = "".join(_figure(folder / name, caption, small) for name, caption in files)
            kind = "pictures small" if small else "pictures"
            return f'<div class="{kind}">{figures}</div>'


def _figure(path, caption, photograph):
    """A picture inside the page; photographs as JPEG, a fifth of the bytes."""
    if photograph:
        kind = "jpeg"
        data = cv2.imencode(".jpg", cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    else:
        kind = "png"
        data = path.read_bytes()
    return (
        f'<figure><img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{_safe(caption)}">'
        f"<figcaption>{_safe(caption)}</figcaption></figure>"
    )
