"""Names of files that are not read, from their first bytes, with a remedy for each."""

from __future__ import annotations

AS_PNG = "open it in ImageJ or QuPath and save it as PNG or TIFF"
AS_SLIDE = (
    "export it as a pyramidal OME-TIFF, for example in QuPath (File > Export images) or with "
    "bfconvert of Bio-Formats"
)
AS_PICTURE = (
    "export the picture as PNG or TIFF, for example with ImageJ; of a slide, list a file of the "
    "series that holds its tiles"
)
GET_AGAIN = "copy or download the image again"

STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"GIF8", "a GIF image", AS_PNG),
    (b"BM", "a BMP image", AS_PNG),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", AS_PNG),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image", AS_PNG),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", AS_PNG),
    (b"\xff\x0a", "a JPEG XL image", AS_PNG),
    (b"II\xbc\x01", "a JPEG XR image", AS_PNG),
    (b"8BPS", "a Photoshop document", "save it in Photoshop as TIFF or PNG in RGB, 8 bits"),
    (b"ZISRAWFILE", "a Zeiss CZI slide", AS_SLIDE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or an old microscope file", AS_SLIDE),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", AS_SLIDE),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", AS_SLIDE),
    (b"%PDF", "a PDF document", "extract its images, for example with pdfimages -png"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it and list the images in it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and list the images in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and list the images in it"),
    (b"Rar!", "a RAR archive", "unpack it and list the images in it"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the image itself",
        "run git lfs pull in its repository",
    ),
    (
        b"\0\x05\x16\x07",
        "a resource file of macOS, not the image itself",
        "list the file whose name lacks the leading ._",
    ),
)
BRANDS: dict[bytes, str] = {
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"heic": "a HEIC image",
    b"heix": "a HEIC image",
    b"mif1": "a HEIF image",
    b"msf1": "a HEIF image",
}
DICOM_MARK, DICOM_MARK_AT = b"DICM", 128
MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")


def describe(head: bytes) -> tuple[str, str]:
    """Return what a file is that is not read, and what to do.

    Parameters
    ----------
    head
        The first bytes of the file.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image", AS_PNG
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], "a film or a photo of a phone"), AS_PNG
    if head[DICOM_MARK_AT:].startswith(DICOM_MARK):
        return "a DICOM file that is not of a whole slide", AS_PICTURE
    for start, name, remedy in STARTS:
        if head.startswith(start):
            return name, remedy
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(MARKUP):
        return "a web page or XML, not an image", GET_AGAIN
    if not head.strip(b"\0"):
        return "filled with zeros, not an image", GET_AGAIN
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        return "text, not an image", "use a JPEG, PNG or TIFF, or a slide that OpenSlide reads"
    return (
        "not in a supported image format",
        "use a JPEG, PNG or TIFF, or a slide that OpenSlide reads",
    )
