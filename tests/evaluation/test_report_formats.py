"""Pages: the same blocks as text, Markdown and HTML."""

import base64

import cv2
import numpy as np

from evaluation import report_formats

BLOCKS = [
    report_formats.Headline([("Jaccard", "0.820", "0.80–0.84")]),
    report_formats.Heading("Scores"),
    report_formats.Text("Of <all> images."),
    report_formats.Table(["", "Jaccard"], [["a & b", "0.5"], ["c", "0.25"]], "A note."),
    report_formats.Table(["setting", "value"], [["epochs", "39"]], folded=True),
    report_formats.Pictures([("dot.png", "A dot")]),
]


def test_text_has_aligned_columns():
    lines = report_formats.text("Title", BLOCKS).splitlines()
    assert lines[:2] == ["Title", "====="]
    start = lines.index("        Jaccard")
    assert lines[start + 1 : start + 4] == ["a & b       0.5", "c          0.25", "A note."]


def test_markdown():
    text = report_formats.markdown("Title", BLOCKS)
    assert text.startswith("# Title\n\n| Jaccard |\n")
    assert "|  | Jaccard |\n| --- | ---: |\n| a & b | 0.5 |\n| c | 0.25 |\n\nA note.\n" in text
    assert "![A dot](dot.png)" in text


def test_html_holds_its_pictures_and_escapes_what_it_is_given(tmp_path):
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((2, 2), np.uint8))
    text = report_formats.html("A < B", BLOCKS, tmp_path)
    assert "<title>A &lt; B</title>" in text and "Of &lt;all&gt; images." in text and "<td>a &amp; b</td>" in text
    assert "<b>0.820</b>" in text and "<div><span>epochs</span><span>39</span></div>" in text
    assert base64.b64encode((tmp_path / "dot.png").read_bytes()).decode() in text
    assert "http" not in text and "dot.png" not in text
