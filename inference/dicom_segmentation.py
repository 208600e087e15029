"""Predicted masks as DICOM Segmentation beside their DICOM photographs, by highdicom: predict.py --format dicom.

`<name>_segmentation.dcm` holds a segment a class, binary, and refers to its photograph: study and patient are copied
from it, as the standard wants them, so it is as confidential as its source. Nothing else is made of them.
"""

from importlib import metadata
from pathlib import Path

import numpy as np

from imaging import dicom
from utils.errors import UserError
from utils.files import replacing

SERIES = 900  # number of the series that segmentations of one run are, in each study
# what a Segmentation must copy and photographs of some cameras lack; empty is allowed (type 2)
_MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)


def is_source(path: str | Path) -> bool:
    """Whether an image file is DICOM, to which a Segmentation can refer."""
    with open(path, "rb") as file:
        return dicom.is_dicom(file.read(132))


def write(target: Path, source: str | Path, drawn: list[tuple[str, np.ndarray]], run: str) -> None:
    """Write the Segmentation of one photograph.

    source: its DICOM file. drawn: [(class, mask uint8 (H, W) of {0, 1}), …]. run: name of what made the masks.
    UserError: highdicom is missing, or the photograph lacks what a Segmentation must refer to; no value is shown.
    """
    pydicom = dicom.library()
    try:
        import highdicom
        from pydicom.sr.codedict import codes
    except ModuleNotFoundError:
        raise UserError(f"--format dicom needs highdicom, which is missing: {dicom.INSTALL}") from None
    try:
        image = pydicom.dcmread(source, stop_before_pixels=True)
        for name in _MAY_BE_EMPTY:
            if name not in image:
                setattr(image, name, None)
        maker = highdicom.AlgorithmIdentificationSequence(
            name=run[:64], family=codes.DCM.ArtificialIntelligence, version=_version()
        )
        segments = [
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=name[:64],
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Lesion,
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=maker,
            )
            for number, (name, _) in enumerate(drawn, 1)
        ]
        masks = np.stack([mask for _, mask in drawn], axis=-1)[None]  # (1, H, W, classes)
        made = highdicom.seg.Segmentation(
            source_images=[image],
            pixel_array=masks,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=_uid(pydicom, image.StudyInstanceUID, run),
            series_number=SERIES,
            sop_instance_uid=_uid(pydicom, image.SOPInstanceUID, run, masks.tobytes().hex()),
            instance_number=1,
            manufacturer="lesion-segmentation",
            manufacturer_model_name=run[:64],
            software_versions=_version(),
            device_serial_number="0",
            omit_empty_frames=False,
            content_label="LESION",
        )
        with replacing(target) as temporary:
            made.save_as(temporary)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        kind = type(problem).__name__
        raise UserError(f"{source}: no Segmentation can refer to it, an attribute is missing ({kind})") from None


def _uid(pydicom, *parts):
    """A unique identifier that is the same for the same parts."""
    return pydicom.uid.generate_uid(entropy_srcs=[str(part) for part in parts])


def _version():
    try:
        return metadata.version("lesion-segmentation")
    except metadata.PackageNotFoundError:  # run from its folder
        return "unreleased"
