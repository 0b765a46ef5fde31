"""What the notebooks share: reading `results/`, medians with intervals, colours. Reads nothing else and writes nothing."""

import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"

#: Okabe and Ito: told apart by colour-blind readers, as in the program's own figures.
COLOURS = {"reference": "#000000", "gmp": "#0072B2", "ifma": "#D55E00", "gpu": "#009E73", "native": "#CC79A7"}
MARKERS = {"pixels": "o", "gradients": "s"}

#: One column of a two-column paper is 85 mm wide.
plt.rcParams.update({"figure.figsize": (3.35, 2.5), "figure.dpi": 150, "font.size": 8, "axes.grid": True, "grid.color": "#DEDEDE", "legend.fontsize": 7})


#: Columns that results of older versions lack.
LATER = {"outcomes.csv": ["inputs_per_ciphertext", "rerandomisation", "batch", "samples", "timed_images"]}


def folders():
    """Folders of `run` and `sweep`, by name, those inside a folder of `paper` too."""
    return sorted(p.parent for pattern in ("*/outcomes.csv", "*/*/outcomes.csv") for p in RESULTS.glob(pattern))


def name_of(folder):
    """A folder's name below `results/`."""
    return folder.relative_to(RESULTS).as_posix()


def about(folder):
    """The facts of run.toml that stand on lines of their own, as text; [tables] are left out."""
    head = (folder / "run.toml").read_text(encoding="utf-8").split("\n[")[0]
    return {k: v.strip().strip('"') for k, v in re.findall(r"^(\w+) = (.*)$", head, re.M)}


def read(name):
    """One CSV of all folders, with the folder as first column: rows on the classification of images, no trainings. Columns that older folders lack are empty there."""
    frames = [pd.read_csv(f / name).query("workload == 'inference'").assign(folder=name_of(f)) for f in folders()]
    frames = [f for f in frames if len(f)]
    if not frames:
        raise SystemExit(f"no results in {RESULTS.name}/: run `cipherlane run --out results/NAME` first")
    whole = pd.concat([f.dropna(axis=1, how="all") for f in frames], ignore_index=True)
    for column in set().union(LATER.get(name, []), *(f.columns for f in frames)) - set(whole.columns):
        whole[column] = np.nan
    return whole


def experiment(name):
    """Rows of one `cipherlane eivhe` experiment (training, attack, leakage) of all folders, with the folder as first column."""
    frames = [pd.read_csv(p).assign(folder=p.parent.name) for p in sorted(RESULTS.glob(f"*/eivhe-{name}.csv"))]
    if not frames:
        raise SystemExit(f"no rows in {RESULTS.name}/: run `cipherlane eivhe {'train' if name == 'training' else name} --out {RESULTS.name}/NAME` first")
    return pd.concat([f.dropna(axis=1, how="all") for f in frames], ignore_index=True)


def interval(values, resamples=1000):
    """95 % bootstrap interval of the median, with a fixed seed; none of fewer than six values."""
    values = np.asarray(values, dtype=float)
    if len(values) < 6:
        return (np.nan, np.nan)
    drawn = np.random.default_rng(1).choice(values, (resamples, len(values)))
    return tuple(np.quantile(np.median(drawn, axis=1), [0.025, 0.975]))


def rows():
    """One row per verified spec: the outcome, the median online time per image in ms with its interval, and images per second."""
    outcomes, samples = read("outcomes.csv"), read("samples.csv")
    verified = outcomes[outcomes["verified"].astype(str).str.lower() == "true"]
    online = samples[samples["phase"] == "online"]
    # All online stages of a batch together, divided by its images.
    batches = online.groupby(["folder", "spec", "run_id", "sample"]).agg(ns=("wall_ns", "sum"), items=("items", "max")).reset_index()
    batches["ms"] = batches["ns"] / batches["items"] / 1e6
    medians = batches.groupby(["folder", "spec", "run_id"])["ms"].agg(ms="median", batches="count", ends=lambda v: interval(v)).reset_index()
    medians["ms_low"], medians["ms_high"] = medians["ends"].str[0], medians["ends"].str[1]
    whole = verified.merge(medians.drop(columns="ends"), on=["folder", "spec", "run_id"], validate="one_to_one")
    whole["images_per_second"] = 1e3 / whole["ms"]
    return whole


def stages():
    """Median online time per image of each stage in ms: one row per spec, one column per stage, in the order of the data."""
    samples = read("samples.csv")
    online = samples[samples["phase"] == "online"].assign(ms=lambda s: s["wall_ns"] / s["items"] / 1e6)
    order = ["encode", "encrypt", "upload", "evaluate", "download", "exchange", "decrypt", "decode"]
    table = online.groupby(["folder", "spec", "stage"])["ms"].median().unstack("stage")
    return table[[s for s in order if s in table]]


def label(row):
    """A row in a few words."""
    if row["scheme"] == "clear":
        return f"plaintext {row['method']}, {row['features']}"
    return f"{row['backend']} {row['method']} {int(row['key_bits'])}, {row['features']}"


def error_bars(group, column="images_per_second"):
    """Distances to the ends of the interval, as matplotlib wants them; zero where there is no interval."""
    low, high = group["ms_low"], group["ms_high"]
    if column == "images_per_second":
        low, high = 1e3 / high, 1e3 / low
    return np.nan_to_num(np.array([group[column] - low, high - group[column]]).clip(min=0))
