#!/usr/bin/env python3
"""Write the embedded digits of cipherlane as two IDX files.

The source is `sklearn.datasets.load_digits`: the test part of the UCI dataset
"Optical Recognition of Handwritten Digits", 1,797 images of 8x8 pixels with
values 0 to 16 and classes 0 to 9, in scikit-learn's order. Pixels are stored as
one unsigned byte each; nothing is scaled, left out or reordered.

    pip install scikit-learn
    python3 scripts/digits_to_idx.py src/dataset/digits

The printed SHA-256 sums are of the uncompressed files, which are the same
everywhere; the gzip files carry no name and no time, so they differ only
between versions of zlib.
"""

import gzip
import hashlib
import pathlib
import struct
import sys

from sklearn.datasets import load_digits


def write(path, magic, array):
    """Write `array` (integers in 0..255) as a gzipped IDX file."""
    assert ((array >= 0) & (array <= 255) & (array == array.astype("uint8"))).all()
    content = struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype("uint8").tobytes()
    with open(path, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed:
        packed.write(content)
    print(hashlib.sha256(content).hexdigest(), "", path.name.removesuffix(".gz"))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: digits_to_idx.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    digits = load_digits()
    assert digits.images.shape == (1797, 8, 8) and digits.images.max() == 16
    write(folder / "digits-images-idx3-ubyte.gz", 0x00000803, digits.images)
    write(folder / "digits-labels-idx1-ubyte.gz", 0x00000801, digits.target)


if __name__ == "__main__":
    main()
