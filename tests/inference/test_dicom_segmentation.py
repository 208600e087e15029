"""Masks as DICOM Segmentation: they refer to their photograph; predict.py reads DICOM and tells no names."""

import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import PATIENT, PATIENT_ID, RGB, encoded, photograph
from miniature import picture, save
from tiny_run import save_run

import predict
from imaging import masks
from inference import dicom_segmentation
from utils.errors import UserError

MASK = (RGB[..., 0] > 120).astype(np.uint8)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_round_trip():
    source = photograph()
    Path("photo.dcm").write_bytes(encoded(source))
    drawn = [("pigment_network", MASK), ("streaks", np.zeros_like(MASK))]
    dicom_segmentation.write(Path("out/a.dcm"), "photo.dcm", drawn, "tiny")
    read = highdicom.seg.segread("out/a.dcm")
    assert read.SOPClassUID.name == "Segmentation Storage" and read.SegmentationType == "BINARY"
    assert [read.get_segment_description(n).segment_label for n in (1, 2)] == ["pigment_network", "streaks"]
    assert (read.PatientID, str(read.PatientName)) == (PATIENT_ID, PATIENT)
    assert read.StudyInstanceUID == source.StudyInstanceUID
    assert [each[2] for each in read.get_source_image_uids()] == [source.SOPInstanceUID]
    pixels = read.get_pixels_by_source_instance([source.SOPInstanceUID])  # (1, H, W, classes)
    assert np.array_equal(pixels[0, ..., 0], MASK) and not pixels[0, ..., 1].any()
    algorithm = read.get_segment_description(1).algorithm_identification
    assert algorithm.name == "tiny" and algorithm.family.meaning == "Artificial Intelligence"


def test_the_same_masks_have_the_same_identity():
    Path("photo.dcm").write_bytes(encoded(photograph()))
    found = []
    for name, mask in (("a", MASK), ("b", MASK), ("c", 1 - MASK)):
        dicom_segmentation.write(Path(f"{name}.dcm"), "photo.dcm", [("lesion", mask)], "tiny")
        found.append(pydicom.dcmread(f"{name}.dcm"))
    first, second, other = (each.SOPInstanceUID for each in found)
    assert first == second != other and len({each.SeriesInstanceUID for each in found}) == 1


def test_a_photograph_without_patient_and_one_without_a_study():
    source = photograph()
    for name in ("PatientName", "PatientID", "PatientBirthDate"):
        delattr(source, name)
    Path("photo.dcm").write_bytes(encoded(source))
    dicom_segmentation.write(Path("a.dcm"), "photo.dcm", [("lesion", MASK)], "tiny")
    assert pydicom.dcmread("a.dcm").PatientID in (None, "")
    del source.StudyInstanceUID
    Path("photo.dcm").write_bytes(encoded(source))
    with pytest.raises(UserError, match=r"photo.dcm: no Segmentation can refer to it, an attribute is missing"):
        dicom_segmentation.write(Path("b.dcm"), "photo.dcm", [("lesion", MASK)], "tiny")


def test_without_highdicom(monkeypatch):
    Path("photo.dcm").write_bytes(encoded(photograph()))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UserError, match=r"needs highdicom, which is missing: pip install -r requirements-dicom.txt"):
        dicom_segmentation.write(Path("a.dcm"), "photo.dcm", [("lesion", MASK)], "tiny")


def test_predict_from_dicom_to_dicom(capsys):
    """All of it, and the patient in none of the files but the Segmentation."""
    save_run("tiny", size=(12, 16))
    for name in ("one", "two"):
        path = Path(f"photos/{name}.dcm")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(photograph()))
    options = ["--out", "out", "--overlays", "--probabilities"]
    formats = [part for name in ("dicom", "coco", "labelme", "labelstudio", "geojson") for part in ("--format", name)]
    predict.main(["photos", "--run", "tiny", *options, *formats])
    mask, _ = masks.mask(Path("out/one_segmentation.png").read_bytes(), None, MASK.shape)
    read = highdicom.seg.segread("out/one_segmentation.dcm")
    assert mask.any() and np.array_equal(read.pixel_array.reshape(mask.shape), mask)
    files = [path for path in Path("out").rglob("*") if path.is_file() and path.suffix != ".dcm"]
    out, err = capsys.readouterr()
    personal = (b"Mustermann", PATIENT_ID.encode(), b"19560401", b"1956-04-01")
    texts = [path.read_bytes() for path in files] + [(out + err).encode()]
    assert len(files) >= 12 and not any(part in text for text in texts for part in personal)
    assert "out/*_segmentation.dcm" in out
    predict.main(["photos", "--run", "tiny", "--out", "out"])  # its own files are no photographs
    assert "2 of 2 images" in capsys.readouterr().out


def test_no_dicom_among_the_images():
    save_run("tiny", size=(12, 16))
    save(Path("photos/a.png"), picture(0))
    with pytest.raises(SystemExit, match="--format dicom: no image is a DICOM file"):
        predict.main(["photos", "--run", "tiny", "--format", "dicom"])
