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
    if "parameters" in whole:
        # Since the column `parameters` this choice has none of its own.
        way = whole["parameters"].astype("string").str.extract(r"(?:^| )rerandomisation=(\S+)")[0]
        whole["rerandomisation"] = whole["rerandomisation"].astype(object).where(way.isna(), way)
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


def full_batches():
    """Online samples of full batches: what is left over at the end of a pass is verified and is no sample, as in the program."""
    samples = read("samples.csv")
    online = samples[samples["phase"] == "online"]
    return online[online["items"] == online.groupby(["folder", "spec", "run_id"])["items"].transform("max")]


def rows():
    """One row per verified spec: the outcome, the median online time per image in ms with its interval, and images per second."""
    outcomes, online = read("outcomes.csv"), full_batches()
    verified = outcomes[outcomes["verified"].astype(str).str.lower() == "true"]
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
    online = full_batches().assign(ms=lambda s: s["wall_ns"] / s["items"] / 1e6)
    order = ["encode", "encrypt", "upload", "evaluate", "download", "exchange", "decrypt", "decode"]
    table = online.groupby(["folder", "spec", "stage"])["ms"].median().unstack("stage")
    return table[[s for s in order if s in table]]


def _number(template):
    """A part of a label for a number; pandas reads columns with empty cells as floats."""
    return lambda value: template.format(int(float(value)))


def _described(table):
    """The table with a column for what only the spec, or several columns together, say of a row."""
    parts = [spec.split("/") for spec in table["spec"]]
    paillier = table["scheme"].eq("paillier").tolist()
    inputs, packing = table.get("inputs_per_ciphertext", pd.Series(np.nan, table.index)), table["packing"]
    packed = [f"{int(i)} inputs/ct" if i > 1 else f"{int(p)}/ct" for i, p in zip(inputs.fillna(0), packing)]
    return table.assign(
        packed=[p if scheme != "clear" else None for p, scheme in zip(packed, table["scheme"])],
        asked=[p[6] if is_paillier else None for p, is_paillier in zip(parts, paillier)],
        ahead=[(p[-1].removeprefix("pool-") if p[-1].startswith("pool-") else "none") if is_paillier else None for p, is_paillier in zip(parts, paillier)],
        beside=[next((x for x in p if x.startswith(f"{f}-")), "").removeprefix(f"{f}-") if m == "float" else None for p, f, m in zip(parts, table["features"], table["method"])],
        seed=[[x for x in p if x.isdigit()][-1] for p in parts],
        tables=[p[8] if is_paillier else None for p, is_paillier in zip(parts, paillier)],
        # The machine and the question; the date only repeats what run.toml says.
        place=[re.sub(r"^\d{4}-\d\d-\d\d-", "", folder) for folder in table["folder"]],
    )


#: In what rows can differ, as `DIMENSIONS` of src/report/varies.rs: the column, whether somebody
#: chose it, and how a label says it.
DIMENSIONS = [
    ("scheme", True, None),
    ("backend", True, None),
    ("method", True, None),
    ("encryption", True, str),
    ("key_bits", True, _number("{} bit")),
    ("model_sha256", False, lambda digest: f"model {digest[:8]}"),
    ("dataset_sha256", False, lambda digest: f"data {digest[:8]}"),
    ("packed", False, str),
    ("dataset", True, str),
    ("features", True, str),
    ("scenario", True, str),
    ("asked", False, "packing {}".format),
    ("feature_bits", False, _number("{}-bit features")),
    ("weight_bits", False, _number("{}-bit weights")),
    ("slot_bits", False, _number("{}-bit slots")),
    ("beside", False, "beside {} bits".format),
    ("ahead", True, "ahead: {}".format),
    ("rerandomisation", True, "{} re-rand.".format),
    ("threads", True, _number("{} threads")),
    ("batch", False, _number("batches of {}")),
    ("images", False, _number("{} images")),
    ("seed", False, "seed {}".format),
    ("tables", False, "{} MiB tables".format),
    ("place", False, "({})".format),
    ("folder", False, "({})".format),
    ("run_id", False, "run {}".format),
    ("spec", False, str),
]


def varying(table, without=()):
    """The dimensions that tell the rows of a table apart, with the values that their names need: of chosen ones wherever they differ, of others where nothing else
    does. `without` stands elsewhere."""
    table = _described(table)
    # Plaintext has no key and no randomisers; what it could say of them says nothing.
    idle = table["scheme"].eq("clear")
    values = {}
    for at, (column, _, _) in enumerate(DIMENSIONS):
        if column in table and column not in without:
            own = table[column].astype(object).where(table[column].notna(), None)
            silent = idle & (column in ("encryption", "rerandomisation", "key_bits"))
            values[at] = own.where(~silent, None).tolist()
    # Rows of one class cannot be told apart by what was taken so far; choices first, what follows
    # from them then has nothing left to tell.
    classes, taken = [()] * len(table), []
    for at, own in sorted(values.items(), key=lambda item: not DIMENSIONS[item[0]][1]):
        within = {}
        for known, value in zip(classes, own):
            within.setdefault(known, set()).add(value)
        differs = len({v for v in own if v is not None}) > 1
        needed = [differs if DIMENSIONS[at][1] else len(within[known]) > 1 for known in classes]
        if any(needed):
            classes = [known + (value,) for known, value in zip(classes, own)]
            taken.append((at, needed))
    return [(DIMENSIONS[at], [v if need else None for v, need in zip(values[at], needed)]) for at, needed in sorted(taken)]


def labels(table, without=()):
    """Names of the rows of a table, no two of them equal: what they share is left out, what tells them apart is said."""
    more = [(say, own) for (_, _, say), own in varying(table, without) if say]
    names = []
    for at, (_, row) in enumerate(table.iterrows()):
        system = ["plaintext", row["method"]] if row["scheme"] == "clear" else [row["backend"], row["method"]]
        names.append(" ".join(system + [say(own[at]) for say, own in more if own[at] is not None]))
    equal = sorted({name for name in names if names.count(name) > 1})
    assert not equal, f"rows that cannot be told apart: {equal}"
    return names


def check_labels():
    """Every folder's rows, and all of them together, can be told apart."""
    whole = rows()
    labels(whole)
    for _, table in whole.groupby("folder"):
        labels(table)
    return len(whole)


def error_bars(group, column="images_per_second"):
    """Distances to the ends of the interval, as matplotlib wants them; zero where there is no interval."""
    low, high = group["ms_low"], group["ms_high"]
    if column == "images_per_second":
        low, high = 1e3 / high, 1e3 / low
    return np.nan_to_num(np.array([group[column] - low, high - group[column]]).clip(min=0))
