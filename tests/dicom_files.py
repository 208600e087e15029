"""A dermoscopic photograph of a patient as a DICOM file, for tests."""

import io

import numpy as np
from miniature import picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

RGB = np.ascontiguousarray(picture(1)[..., ::-1])  # (48, 64, 3)
PATIENT, PATIENT_ID = "Mustermann^Erika", "ID4711-0815"  # too long to occur by chance, in a time stamp say
DERMOSCOPIC = UID("1.2.840.10008.5.1.4.1.1.77.1.7")  # Dermoscopic Photography Image Storage


def photograph(pixels=RGB, syntax=ExplicitVRLittleEndian, kind="RGB", frame=None, **attributes):
    """A dermoscopic photograph of a patient, as a Dataset. frame: its pixels, where they are compressed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DERMOSCOPIC
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["photo"])
    meta.TransferSyntaxUID = syntax
    order = {"is_implicit_VR": syntax == ImplicitVRLittleEndian, "is_little_endian": syntax != ExplicitVRBigEndian}
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128), **order)
    made.SOPClassUID, made.SOPInstanceUID = DERMOSCOPIC, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = (generate_uid(entropy_srcs=[part]) for part in ("study", "series"))
    made.PatientName, made.PatientID, made.PatientBirthDate = PATIENT, PATIENT_ID, "19560401"
    made.Modality, made.SeriesNumber, made.InstanceNumber = "XC", 1, 1
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    made.PhotometricInterpretation = kind
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    for name, value in attributes.items():
        setattr(made, name, value)
    data = pixels.astype(pixels.dtype.newbyteorder(">")) if syntax == ExplicitVRBigEndian else pixels
    made.PixelData = encapsulate([frame]) if frame else data.tobytes()
    made["PixelData"].VR = "OB" if frame or pixels.itemsize == 1 else "OW"
    return made


def encoded(made):
    """The bytes of its file."""
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
