#!/usr/bin/env python3
"""The same jobs with what one would take in place of cipherlane: see README.md beside this file.

    python3 benches/peers/run.py --setup        make a virtual environment per peer (network)
    python3 benches/peers/run.py                measure, write samples.csv, print Markdown tables
    python3 benches/peers/run.py --self-test    check the checker, without any peer and without network
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import random
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
import worker  # noqa: E402

COLUMNS = [
    "peer", "version", "job", "key_bits", "security_bits", "threads", "round", "items", "wall_ns", "cpu_ns", "checked", "load", "error",
]  # fmt: skip
#: Comparable strength of a modulus of n bits, NIST SP 800-57 part 1.
SECURITY = {2048: 112, 3072: 128, 7680: 192}
THREAD_VARIABLES = ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
PIXELS, CLASSES = 784, 10
#: Largest batch of a peer: one image per slot.
MOST_SLOTS = 8192
#: Seconds that one order to a peer may take.
PATIENCE = 1800

#: name: environment (requirements/NAME.txt), module, fields of the order, variables; `threads` false where the peer has none, `only` the one
#: Python version with this choice, `most_bits` its largest key, `lattice` where there is no Paillier key.
PEERS = {
    "phe": dict(environment="phe", module="peer_phe", threads=False),
    "pypaillier": dict(environment="pypaillier", module="peer_pypaillier"),
    "fate_utils": dict(environment="fate", module="peer_fate", threads=False),
    "heu-zpaillier": dict(environment="heu", module="peer_heu", fields={"scheme": "ZPaillier"}),
    "heu-zpaillier-gmp": dict(environment="heu", module="peer_heu", fields={"scheme": "ZPaillier"}, variables={"BIGINT_LIB": "gmp"}, only="3.10"),
    "heu-ipcl": dict(environment="heu", module="peer_heu", fields={"scheme": "IPCL"}, most_bits=2048),
    "heu-ou": dict(environment="heu", module="peer_heu", fields={"scheme": "OU"}),
    "tenseal-bfv": dict(environment="tenseal", module="peer_tenseal", lattice=True),
    "openfhe-bfv": dict(environment="openfhe", module="peer_openfhe", fields={"scheme": "BFV"}, lattice=True),
    "openfhe-bgv": dict(environment="openfhe", module="peer_openfhe", fields={"scheme": "BGV"}, lattice=True),
}
#: Python versions for which the pinned wheels exist, best first; else ANY_PYTHON.
PYTHONS = {"heu": ["3.10", "3.11"], "openfhe": ["3.10"], "fate": ["3.11", "3.10"], "tenseal": ["3.11", "3.12", "3.13"]}
ANY_PYTHON = ["3.11", "3.12", "3.10", "3.13"]

#: Ours: backend, encryption, method; images one by one after one for warm-up; ciphertexts full of images in a batch. The first that runs is
#: what ratios refer to.
OURS = {
    "cipherlane ifma owner": ("ifma", "owner", "auto", 3, 4),
    "cipherlane gmp owner": ("gmp", "owner", "auto", 3, 4),
    "cipherlane ifma djn": ("ifma", "djn", "auto", 3, 4),
    "cipherlane gmp djn": ("gmp", "djn", "auto", 3, 4),
    "cipherlane gmp standard naive": ("gmp", "standard", "naive", 1, 1),
}

JOBS = {
    "encrypt": ("Encrypt one value", "us"),
    "decrypt": ("Decrypt one value", "us"),
    "add": ("Add two ciphertexts", "us"),
    "multiply": ("Multiply by a signed 8-bit weight", "us"),
    "product": ("Encrypted 10 x 784 product, one image", "ms"),
    "image": ("One image end to end: encrypt 784 pixels, product, decrypt 10 logits", "ms"),
    "batch": ("Full batch end to end, per image", "ms"),
    "setup": ("Set-up: keys, tables, plaintext weights", "ms"),
}
UNITS = {"us": (1e3, "µs"), "ms": (1e6, "ms")}


def say(text):
    print(text, file=sys.stderr, flush=True)


def write_whole(path, text):
    """Writes by way of a temporary file, so that `path` is never half there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------- environments


def find_python(version, named):
    """An interpreter of this version that runs, or none."""
    candidates = list(named)
    if version == "{}.{}".format(*sys.version_info[:2]):
        candidates.append(sys.executable)
    candidates.append(shutil.which(f"python{version}"))
    candidates += sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    for candidate in filter(None, candidates):
        try:
            script = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([str(candidate), "-c", script], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return str(candidate)
    return None


def environment_python(venvs, environment):
    """The interpreter of a finished environment whose requirements are those of now, or none."""
    folder = venvs / environment
    try:
        if (folder / "complete").read_text() == (HERE / "requirements" / f"{environment}.txt").read_text():
            return folder / "bin" / "python"
    except OSError:
        pass
    return None


def reason_file(venvs, environment):
    return venvs / f"{environment}.reason"


def set_up(venvs, environments, named):
    """Makes the environments. A folder is there whole or not at all."""
    failed = []
    venvs.mkdir(parents=True, exist_ok=True)
    for environment in environments:
        if environment_python(venvs, environment):
            say(f"{environment}: ready")
            continue
        folder, requirements = venvs / environment, HERE / "requirements" / f"{environment}.txt"
        shutil.rmtree(folder, ignore_errors=True)
        versions = PYTHONS.get(environment, ANY_PYTHON)
        python = next(filter(None, (find_python(version, named) for version in versions)), None)
        reason = None
        if python is None:
            reason = f"the pinned wheels need Python {' or '.join(versions)}; name one with --python PATH"
        else:
            say(f"{environment}: installing for {python}")
            try:
                install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--requirement", str(requirements)]
                for command in ([python, "-m", "venv", str(folder)], [str(folder / "bin" / "python"), *install]):
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode:
                        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
                        errors = [line for line in lines if line.startswith("ERROR")]
                        reason = (errors or lines or ["no message"])[-1].removeprefix("ERROR: ")[:200]
                        break
                else:
                    (folder / "complete").write_text(requirements.read_text())
            finally:
                if not (folder / "complete").exists():
                    shutil.rmtree(folder, ignore_errors=True)
        reason_file(venvs, environment).unlink(missing_ok=True)
        if reason:
            failed.append(environment)
            write_whole(reason_file(venvs, environment), reason)
            say(f"{environment}: not installed: {reason}")
    return failed


# ---------------------------------------------------------------- the workload


def read_model(path):
    """Integer weights and biases of a model file, as cipherlane makes them: collapse in double precision, 8-bit features, 8-bit weights."""
    data = path.read_bytes()
    _, header, payload = data.split(b"\n", 2)
    widths = json.loads(header)["widths"]
    numbers = struct.iter_unpack("<f", payload[: sum(a * b + b for a, b in zip(widths, widths[1:])) * 4])
    rows, bias = None, None
    for inputs, outputs in zip(widths, widths[1:]):
        layer = [[next(numbers)[0] for _ in range(inputs)] for _ in range(outputs)]
        offset = [next(numbers)[0] for _ in range(outputs)]
        if rows is None:
            rows, bias = layer, offset
            continue
        new_rows, new_bias = [], []
        for factors, value in zip(layer, offset):
            total = [0.0] * len(rows[0])
            for factor, old, old_bias in zip(factors, rows, bias):
                value += factor * old_bias
                total = [t + factor * w for t, w in zip(total, old)]
            new_rows.append(total)
            new_bias.append(value)
        rows, bias = new_rows, new_bias

    def away(x):  # to nearest, halves away from zero
        return int(abs(x) + 0.5) * (1 if x >= 0 else -1)

    scale = 127 / max(abs(w) for row in rows for w in row)
    return [[away(w * scale) for w in row] for row in rows], [away(b * scale * 255) for b in bias]


def worst_case(weights, bias):
    """Largest absolute logit over all 8-bit inputs."""
    highs = [b + 255 * sum(w for w in row if w > 0) for row, b in zip(weights, bias)]
    lows = [b + 255 * sum(w for w in row if w < 0) for row, b in zip(weights, bias)]
    return max(max(map(abs, highs)), max(map(abs, lows)))


def find_images(dataset):
    for folder in filter(None, [dataset, os.environ.get("CIPHERLANE_DATA"), pathlib.Path.home() / ".cache/cipherlane/mnist"]):
        for name in ("t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"):
            path = pathlib.Path(folder) / name
            if path.is_file():
                return path.resolve()
    if dataset:
        raise SystemExit(f"{dataset}: no t10k-images-idx3-ubyte[.gz]")
    return None


def noise_images(folder):
    """A dataset of the shape of MNIST with pseudo-random pixels, always the same."""
    rng = random.Random(784)
    (folder / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, MOST_SLOTS, 28, 28) + rng.randbytes(MOST_SLOTS * PIXELS))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, MOST_SLOTS) + bytes(i % 10 for i in range(MOST_SLOTS)))
    return folder / "t10k-images-idx3-ubyte"


# ---------------------------------------------------------------- one peer in one process


def keep_to(cpus):
    return (lambda: os.sched_setaffinity(0, cpus)) if hasattr(os, "sched_setaffinity") else None


def kill(process):
    """Ends a process group that was started here."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


class Worker:
    """A peer's process; it answers orders until it is closed."""

    def __init__(self, python, variables, cpus, log):
        self.log = open(log, "w", encoding="utf-8")
        environment = {**os.environ, **variables, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [str(python), str(HERE / "worker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment, preexec_fn=keep_to(cpus), start_new_session=True,
        )  # fmt: skip

    def ask(self, order):
        timer = threading.Timer(PATIENCE, kill, [self.process])
        timer.start()
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        code = self.process.wait()
        last = [text for text in pathlib.Path(self.log.name).read_text(errors="replace").splitlines() if text.strip()]
        why = f"took longer than {PATIENCE} s" if code == -signal.SIGKILL else f"ended with status {code}"
        return {"error": f"the process {why}" + (f": {last[-1][:150]}" if last else "")}

    def close(self):
        kill(self.process)
        self.log.close()


def thread_variables(threads):
    return {name: str(threads) for name in THREAD_VARIABLES}


# ---------------------------------------------------------------- cipherlane


def our_rows(folder, expected_slot_bits=None):
    """Rows of a results folder of `cipherlane run`: stages summed into jobs. A row that was not verified gives an error and no time."""
    rows, version = [], ""
    with open(folder / "outcomes.csv", newline="", encoding="utf-8") as file:
        outcomes = [o for o in csv.DictReader(file) if o["scheme"] == "paillier"]
    with open(folder / "samples.csv", newline="", encoding="utf-8") as file:
        samples = list(csv.DictReader(file))
    for outcome in outcomes:
        version = outcome["revision"]
        single = outcome["scenario"] == "single"
        jobs = ["encrypt", "decrypt", "product", "image", "setup"] if single else ["batch"]
        error = outcome["error"]
        if not error and outcome["verified"] != "true":
            error = "not verified"
        if not error and expected_slot_bits and outcome["slot_bits"] != str(expected_slot_bits):
            error = f"other integers: slots of {outcome['slot_bits']} bits in place of {expected_slot_bits}"
        if error:
            rows += [{"job": job, "checked": False, "error": error} for job in jobs]
            continue
        mine = [s for s in samples if s["spec"] == outcome["spec"]]
        repetitions = {}
        for s in mine:
            if s["phase"] != "setup":
                repetitions.setdefault(int(s["sample"]), {})[s["stage"]] = s
        if single and len(repetitions) > 1:
            del repetitions[min(repetitions)]  # warm-up

        def add(job, items, parts):
            wall, cpu = (sum(int(s[name]) for s in parts) for name in ("wall_ns", "cpu_ns"))
            rows.append({"job": job, "items": items, "wall_ns": wall, "cpu_ns": cpu, "checked": True})

        for stages in repetitions.values():
            if single:
                add("encrypt", PIXELS, [stages["encrypt"]])
                add("decrypt", CLASSES, [stages["decrypt"]])
                add("product", 1, [stages["evaluate"]])
                add("image", 1, stages.values())
            else:
                add("batch", int(next(iter(stages.values()))["items"]), stages.values())
        if single:
            add("setup", 1, [s for s in mine if s["phase"] == "setup"])
    return rows, version


class Ours:
    """cipherlane, one process per order; only its own stage times are used, so the start of the process counts for nobody."""

    def __init__(self, program, variant, key_bits, threads, cpus, images_path, noise, slot_bits, scratch):
        self.backend, self.encryption, self.method, self.singles, self.batches = variant
        self.program, self.key_bits, self.threads, self.cpus = program, key_bits, threads, cpus
        self.images_path, self.noise, self.slot_bits, self.scratch = images_path, noise, slot_bits, scratch
        self.packing = None
        self.process = None

    def command(self, scenario, images, seed, out, encryption, method):
        command = [str(self.program), "--json", "--threads", str(self.threads), "run", "--dataset", str(self.images_path.parent), "--offline"]
        if self.noise:
            command += ["--model", str(ROOT / "models" / "mnist-pixels.model")]
        command += ["--features", "pixels", "--backend", self.backend, "--encryption", encryption, "--method", method]
        command += ["--key-bits", str(self.key_bits), "--scenario", scenario, "--images", str(images), "--seed", str(seed), "--out", str(out)]
        return command

    def run(self, scenario, images, seed, encryption, method):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.scratch)) / "run"
        self.process = subprocess.Popen(
            self.command(scenario, images, seed, out, encryption, method), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **thread_variables(self.threads)}, preexec_fn=keep_to(self.cpus), start_new_session=True,
        )  # fmt: skip
        try:
            _, errors = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            kill(self.process)
            return None, f"took longer than {PATIENCE} s"
        if not (out / "outcomes.csv").exists():
            lines = [line for line in errors.splitlines() if line.strip()]
            return None, (lines or [f"status {self.process.returncode}"])[-1].removeprefix("error: ")[:200]
        return out, None

    def ask(self, order):
        if order["do"] == "setup":  # finds out, the quick way, whether the backend runs and how many images a ciphertext holds
            out, error = self.run("offline", 1, 1, "owner", "auto")
            if error:
                return {"error": error}
            with open(out / "outcomes.csv", newline="", encoding="utf-8") as file:
                self.packing = max(int(o["packing"]) for o in csv.DictReader(file))
            return {"version": our_rows(out)[1], "rows": []}
        rows = []
        plans = [("single", 1 + self.singles)] + ([("offline", self.batches * self.packing)] if order.get("batch", True) else [])
        for scenario, images in plans:
            out, error = self.run(scenario, images, 1 + order["round"], self.encryption, self.method)
            if error:
                return {"error": error}
            rows += our_rows(out, self.slot_bits)[0]
        return {"rows": rows}

    def close(self):
        if self.process:
            kill(self.process)


# ---------------------------------------------------------------- tables


def spread(values):
    low, high = min(values), max(values)
    return f"{figure(low)} to {figure(high)}"


def figure(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def grouped(rows):
    """(threads, job) -> (peer, version, key_bits, security_bits) -> kept rows and the last error."""
    groups = {}
    for r in rows:
        system = (r["peer"], r["version"], str(r["key_bits"]), str(r["security_bits"]))
        kept, errors = groups.setdefault((str(r["threads"]), r["job"]), {}).setdefault(system, ([], []))
        if r["error"]:
            errors.append(r["error"])
        else:
            kept.append((int(r["wall_ns"]) / int(r["items"]), int(r["cpu_ns"]) / int(r["items"])))
    return groups


def tables(rows):
    """Markdown: medians and ranges over all samples, ratios to cipherlane of the same security; above 1 the peer takes longer."""
    groups, lines = grouped([r for r in rows if r["job"] in JOBS]), []
    for threads in sorted({t for t, _ in groups}, key=int):
        lines += [f"## {threads} thread{'' if threads == '1' else 's'}", ""]
        for job, (title, unit) in JOBS.items():
            systems = groups.get((threads, job))
            if not systems:
                continue
            divisor, name = UNITS[unit]
            base = {}
            for ours in OURS:
                for (peer, _, _, security), (kept, errors) in systems.items():
                    if peer == ours and kept and not errors and security not in base:
                        base[security] = [statistics.median(column) for column in zip(*kept)]
            columns = ["system", "key", "security", f"wall, {name}", "range", f"CPU, {name}", "wall / ours", "CPU / ours"]
            lines += [f"### {title}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]

            def place(entry):  # by strength, ours first, then by time; errors last
                (peer, _, _, security), (kept, _) = entry
                return int(security or 0), peer not in OURS, statistics.median(w for w, _ in kept) if kept else float("inf")

            for (peer, version, key_bits, security), (kept, errors) in sorted(systems.items(), key=place):
                label = f"| {peer} {version}".rstrip() + f" | {key_bits or '-'} | {security} bits "
                if errors or not kept:
                    lines.append(f"{label}| {(errors or ['no sample'])[-1].replace('|', '/')} | | | | |")
                    continue
                walls, cpus = zip(*kept)
                wall, cpu = statistics.median(walls), statistics.median(cpus)
                ratios = [figure(value / ours) for value, ours in zip((wall, cpu), base[security])] if security in base else ["-", "-"]
                cells = [figure(wall / divisor), spread([w / divisor for w in walls]), figure(cpu / divisor), *ratios]
                lines.append(f"{label}| {' | '.join(cells)} |")
            lines.append("")
    missing = {(r["peer"], r["error"]) for r in rows if r["job"] == "all"}
    if missing:
        lines += ["## Not measured", "", "| system | reason |", "|---|---|"]
        lines += [f"| {peer} | {error.replace('|', '/')} |" for peer, error in sorted(missing)] + [""]
    return "\n".join(lines)


def heading(about, rows):
    lines = ["# cipherlane and its peers", "", "```sh", about["command"], "```", ""]
    lines.append(f"{about['processor']}, {about['cpus']} processors; {about['started']} to {about['finished']}; pixels: {about['pixels']}.")
    loads = [float(r["load"]) for r in rows if r["load"]]
    lines.append(f"Load before the start {about['load_before']:.2f}, during the run {min(loads, default=0):.1f} to {max(loads, default=0):.1f}.")
    if about["load_before"] > 0.5:
        lines.append("**The machine was busy with other work: wall times and the ratios of wall times are not to be quoted; CPU times suffer less.**")
    lines.append(f"Rounds: {about['rounds']} after {about['warm_up']} for warm-up, all systems in turn in each.")
    lines += ["Every answer was compared with integer arithmetic.", ""]
    return "\n".join(lines)


# ---------------------------------------------------------------- the run


def make_row(peer, version, lattice, key_bits, threads, number, load, fields):
    security = 128 if lattice else SECURITY.get(key_bits, 0)
    base = dict.fromkeys(COLUMNS, "")
    base.update(peer=peer, version=version, key_bits="" if lattice else key_bits, security_bits=security, threads=threads, round=number, load=load)
    base.update(fields)
    base["checked"] = "true" if base["checked"] is True else "false"
    return base


def as_csv(rows):
    lines = []
    out = csv.DictWriter(type("Sink", (), {"write": lambda self, text: lines.append(text)})(), COLUMNS, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    return "".join(lines)


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "processor unknown"


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def load():
    return f"{os.getloadavg()[0]:.2f}"


class Bench:
    """What takes part in a run, and the rows so far."""

    def __init__(self, args, out, scratch):
        self.args, self.out, self.scratch = args, out, scratch
        self.rows, self.rounds_done = [], 0
        images = find_images(args.dataset)
        self.noise = images is None
        self.images_path = images or noise_images(scratch)
        self.weights, bias = read_model(ROOT / "models" / "mnist-pixels.model")
        bound = worst_case(self.weights, bias)
        self.slot_bits = bound.bit_length() + 1
        self.job = {"weights": self.weights, "bound": bound, "images_path": str(self.images_path), "images_count": MOST_SLOTS}
        if args.cipherlane:  # a copy, so that a build meanwhile changes nothing
            self.program = pathlib.Path(shutil.copy2(args.cipherlane, scratch / "cipherlane"))
        self.cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
        self.about = dict(
            command=shlex.join(["python3", *portable(sys.argv)]), processor=processor(), cpus=len(self.cpus), started=now(), finished=now(),
            load_before=os.getloadavg()[0], rounds=args.rounds, warm_up=args.warm_up,
            pixels="pseudo-random, of the shape of MNIST" if self.noise else "MNIST test set",
        )  # fmt: skip

    def systems(self, threads):
        """(name, lattice, key_bits, opener) of everything that takes part with this number of threads."""
        cpus = self.cpus[-1:] if threads == 1 else self.cpus
        for name, variant in OURS.items():
            if name in self.args.peers:
                for key_bits in self.args.key_bits:
                    arguments = (self.program, variant, key_bits, threads, cpus, self.images_path, self.noise, self.slot_bits, self.scratch)
                    yield name, False, key_bits, (lambda arguments=arguments: Ours(*arguments))
        for name, peer in PEERS.items():
            if name not in self.args.peers or (threads > 1 and not peer.get("threads", True)):
                continue
            python = environment_python(self.args.venvs, peer["environment"])
            if python is None:
                reason = reason_file(self.args.venvs, peer["environment"])
                why = reason.read_text() if reason.exists() else "run with --setup first"
                self.absent(name, threads, f"not installed: {why}")
                continue
            if "only" in peer and not (self.args.venvs / peer["environment"] / "lib" / f"python{peer['only']}").exists():
                self.absent(name, threads, f"not installed: this choice needs Python {peer['only']}")
                continue
            lattice = peer.get("lattice", False)
            for key_bits in [0] if lattice else self.args.key_bits:
                if key_bits > peer.get("most_bits", key_bits):
                    self.absent(name, threads, f"no keys above {peer['most_bits']} bits")
                    continue
                variables = {**thread_variables(threads), **peer.get("variables", {})}
                log = self.out / "logs" / f"{name}-{key_bits}-{threads}.txt"
                yield name, lattice, key_bits, (lambda python=python, variables=variables, log=log: Worker(python, variables, cpus, log))

    def absent(self, name, threads, reason):
        if not any(r["peer"] == name and r["job"] == "all" for r in self.rows):
            say(f"{name}: {reason}")
            self.rows.append(make_row(name, "", PEERS[name].get("lattice", False), "", threads, "", load(), {"job": "all", "error": reason}))

    def save(self):
        self.about["finished"] = now()
        write_whole(self.out / "samples.csv", as_csv(self.rows))
        write_whole(self.out / "table.md", heading(self.about, self.rows) + "\n" + tables(self.rows))

    def measure(self, threads):
        """All rounds with one number of threads. Rows are kept by whole rounds."""
        running = []
        try:
            for name, lattice, key_bits, opener in self.systems(threads):
                label = f"{name}{f' {key_bits}' if key_bits else ''}, {threads} thread{'s' if threads > 1 else ''}"
                system = opener()
                running.append(system)
                order = {"do": "setup"}
                if name in PEERS:
                    order.update(module=PEERS[name]["module"], key_bits=key_bits, threads=threads, **PEERS[name].get("fields", {}), **self.job)
                answer = system.ask(order)
                if "error" in answer:
                    say(f"{label}: {answer['error']}")
                    running.pop().close()
                    self.rows.append(make_row(name, "", lattice, key_bits, threads, "", load(), {"job": "setup", "error": answer["error"]}))
                    continue
                say(f"{label}: ready")
                system.identity = (name, answer["version"], lattice, key_bits, threads)
                system.label = label
                self.rows += [make_row(*system.identity, "", load(), fields) for fields in answer["rows"]]
            for number in range(self.args.warm_up + self.args.rounds):
                rows = []
                kept = number >= self.args.warm_up
                for system in list(running):
                    say(f"[{'round ' + str(number - self.args.warm_up + 1) if kept else 'warm-up'}/{self.args.rounds}] {system.label}")
                    before = load()
                    answer = system.ask({"do": "round", "round": number, "batch": self.args.batch})
                    if "error" in answer:
                        answer["rows"] = [{"job": "all jobs", "error": answer["error"]}]
                        system.close()
                        running.remove(system)
                    for fields in answer["rows"]:
                        if "error" in fields:
                            say(f"    {fields['job']}: {fields['error']}")
                        if fields["job"] == "all jobs":
                            rows += [make_row(*system.identity, number, before, {**fields, "job": job}) for job in JOBS if job != "setup"]
                        elif kept or "error" in fields:
                            rows.append(make_row(*system.identity, number - self.args.warm_up, before, fields))
                self.rows += rows
                self.rounds_done += kept
                self.save()
        finally:
            for system in running:
                system.close()


def portable(argv):
    """The command line without folders of this machine: a path outside the repository becomes its last name in capitals."""

    def word(text):
        path = pathlib.Path(text)
        if not path.is_absolute() and not path.exists():
            return text
        path = path.resolve()
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name.upper()

    return ["=".join([w.split("=", 1)[0], word(w.split("=", 1)[1])]) if w.startswith("--") and "=" in w else word(w) for w in argv]


def find_cipherlane(named):
    for candidate in [named] if named else [ROOT / "target" / "release" / "cipherlane", shutil.which("cipherlane")]:
        if candidate and pathlib.Path(candidate).is_file():
            return pathlib.Path(candidate).resolve()
    raise SystemExit("no cipherlane: build it with `cargo build --release`, or name it with --cipherlane PATH")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everybody = [*OURS, *PEERS]
    listed = lambda text: [word.strip() for word in text.split(",") if word.strip()]  # noqa: E731
    parser.add_argument("--setup", action="store_true", help="make the virtual environments and stop")
    parser.add_argument("--self-test", action="store_true", help="check the checker and stop; needs no peer")
    parser.add_argument("--list", action="store_true", help="print who takes part and what is installed, and stop")
    parser.add_argument("--table", type=pathlib.Path, metavar="DIR", help="print the tables of a results folder again and stop")
    parser.add_argument("--peers", type=listed, default=everybody, metavar="A,B", help="who takes part [default: all]; names as by --list")
    sizes = lambda text: [int(word) for word in listed(text)]  # noqa: E731
    parser.add_argument("--key-bits", type=sizes, default=[2048, 3072], metavar="BITS", help="Paillier keys [default: 2048,3072]")
    parser.add_argument("--threads", type=listed, default=["1", "all"], metavar="LIST", help="1, all, or numbers [default: 1,all]")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are kept [default: 5]")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before them [default: 1]")
    parser.add_argument("--no-batch", dest="batch", action="store_false", help="leave the full batches out")
    parser.add_argument("--dataset", type=pathlib.Path, metavar="DIR", help="MNIST as IDX files [default: cipherlane's own folder, else pseudo-random pixels]")
    parser.add_argument("--cipherlane", type=pathlib.Path, metavar="PATH", help="the program [default: target/release/cipherlane]")
    parser.add_argument("--venvs", type=pathlib.Path, default=HERE / "venvs", metavar="DIR", help="virtual environments [default: beside this file]")
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="another interpreter for --setup; may be repeated")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="results folder [default: results/peers-DATE-TIME-local]")
    args = parser.parse_args(argv)
    unknown = [name for name in args.peers if name not in everybody]
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; known: {', '.join(everybody)}")
    if args.rounds < 1 or args.warm_up < 0:
        parser.error("--rounds takes 1 and more, --warm-up 0 and more")
    weak = [bits for bits in args.key_bits if bits not in SECURITY]
    if weak:
        parser.error(f"--key-bits takes {', '.join(map(str, SECURITY))}: the sizes with a known security level")
    args.venvs = args.venvs.resolve()
    return args


def main(argv):
    args = parse(argv)
    if args.self_test:
        return self_test()
    environments = list(dict.fromkeys(PEERS[name]["environment"] for name in args.peers if name in PEERS))
    if args.setup:
        return 1 if set_up(args.venvs, environments, args.python) else 0
    if args.list:
        for name, peer in PEERS.items():
            reason = reason_file(args.venvs, peer["environment"])
            ready = environment_python(args.venvs, peer["environment"])
            print(f"{name:30} {'ready' if ready else 'not installed' + (': ' + reason.read_text() if reason.exists() else '')}")
        print("\n".join(OURS))
        return 0
    if args.table:
        with open(args.table / "samples.csv", newline="", encoding="utf-8") as file:
            print(tables(list(csv.DictReader(file))))
        return 0
    args.cipherlane = find_cipherlane(args.cipherlane) if any(name in OURS for name in args.peers) else None
    out = args.out or ROOT / "results" / f"peers-{datetime.datetime.now():%Y-%m-%d-%H%M%S}-local"
    if (out / "samples.csv").exists():
        raise SystemExit(f"{out}: holds the samples of another run; choose another --out")
    made = not out.exists()
    (out / "logs").mkdir(parents=True, exist_ok=True)
    bench = None
    try:
        with tempfile.TemporaryDirectory(prefix="cipherlane-peers-") as scratch:
            bench = Bench(args, out, pathlib.Path(scratch))
            if bench.about["load_before"] > 0.5:
                say(f"warning: the machine is busy (load {bench.about['load_before']:.2f}); times will be too long")
            for threads in dict.fromkeys(len(bench.cpus) if word == "all" else int(word) for word in args.threads):
                bench.measure(threads)
    except KeyboardInterrupt:
        done = bench.rounds_done if bench else 0
        if done == 0 and made:
            shutil.rmtree(out, ignore_errors=True)
        say(f"\nstopped; {f'{done} whole rounds are in {out}' if done else 'nothing was written'}")
        return 130
    print((out / "table.md").read_text(encoding="utf-8"))
    say(f"{out}: samples.csv, table.md, logs")
    return 1 if any(r["error"] and r["job"] != "all" for r in bench.rows) else 0


# ---------------------------------------------------------------- self-test


def self_test():
    """The checker against a peer that computes in clear and is told to lie in one step after the other."""
    tests = 0

    def expect(condition, what):
        nonlocal tests
        tests += 1
        if not condition:
            raise SystemExit(f"self-test failed: {what}")

    weights, bias = read_model(ROOT / "models" / "mnist-pixels.model")
    expect((len(weights), len(weights[0])) == (CLASSES, PIXELS), "the model has 10 x 784 weights")
    expect(max(abs(w) for row in weights for w in row) == 127, "the largest weight is 127")
    expect(worst_case([[1, -2], [3, 0]], [5, -6]) == 759, "worst case of a small map")
    expect(worker.prime_for_slots(2**22, 4096) == 4300801 and worker.prime_for_slots(4300801, 4096) == 4300801, "primes for slots")

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        path = noise_images(folder)
        job = {"do": "setup", "module": "peer_clear", "weights": weights, "bound": 1, "images_path": str(path), "images_count": 6}
        caught = {step: step for step in ("encrypt", "decrypt", "add", "multiply", "product", "batch")} | {"short": "product", "raise": "product"}
        for lie, job_name in [(None, None), *caught.items()]:
            system = Worker(sys.executable, {}, os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None, folder / "log.txt")
            try:
                answer = system.ask({**job, "lie": lie})
                expect("error" not in answer, f"set-up of the clear peer: {answer}")
                rows = system.ask({"do": "round", "round": 2})["rows"]
            finally:
                system.close()
            errors = [r for r in rows if "error" in r]
            if lie is None:
                expect([r["job"] for r in rows] == [j for j in JOBS if j != "setup"] and not errors, f"the honest peer passes: {rows}")
                expect(all(r["checked"] and r["wall_ns"] > 0 for r in rows), "the honest peer has times")
            else:
                expect(job_name in [r["job"] for r in errors], f"a lie in {lie} is caught")
                expect(all("wall_ns" not in r and not r["checked"] for r in errors), f"a lie in {lie} leaves no time")
        system = Worker(sys.executable, {}, range(os.cpu_count() or 1), folder / "log.txt")
        try:
            expect("No module" in system.ask({**job, "module": "peer_nobody"})["error"], "a peer that is not there")
            os.killpg(system.process.pid, signal.SIGKILL)
            expect("error" in system.ask({"do": "round", "round": 0}), "a peer that dies")
        finally:
            system.close()

        header = "spec,scheme,scenario,verified,error,slot_bits,packing,revision\n"
        samples = "spec,stage,phase,sample,items,wall_ns,cpu_ns\n" + "".join(
            f"a,{stage},{phase},{sample},1,{time},{time}\n"
            for sample, time in ((0, 900), (1, 7))
            for stage, phase in (("keygen", "setup"), ("encrypt", "online"), ("evaluate", "online"), ("decrypt", "online"))
        )
        (folder / "samples.csv").write_text(samples)
        (folder / "outcomes.csv").write_text(header + "a,paillier,single,true,,22,1,r\n")
        rows = {r["job"]: r for r in our_rows(folder, 22)[0]}
        expect(rows["image"]["wall_ns"] == 21 and rows["product"]["wall_ns"] == 7, "stages are summed without the warm-up")
        expect(all("error" in r and "wall_ns" not in r for r in our_rows(folder, 23)[0]), "other integers are an error")
        (folder / "outcomes.csv").write_text(header + "a,paillier,single,false,,22,1,r\n")
        expect(all("error" in r and "wall_ns" not in r for r in our_rows(folder, 22)[0]), "an unverified run of ours is an error")

        sample = {"items": 2, "cpu_ns": 4, "checked": True}
        rows = [make_row("cipherlane gmp owner", "1", False, 3072, 1, 0, "0.1", {"job": "product", "wall_ns": 2_000_000, **sample})]
        rows += [make_row("phe", "2", False, 3072, 1, n, "0.1", {"job": "product", "wall_ns": 6_000_000 * (n + 1), **sample}) for n in range(3)]
        rows.append(make_row("heu-ou", "3", False, 3072, 1, 0, "0.1", {"job": "product", "error": "product: wrong"}))
        text = tables(rows)
        expect("| phe 2 | 3072 | 128 bits | 6 | 3 to 9 | 2e-06 | 6 | 1 |" in text, f"medians, ranges and ratios:\n{text}")
        words = portable([str(HERE / "run.py"), "--out", "/nowhere/deep", "--venvs=/nowhere/else", "--rounds", "2"])
        expect(words == ["benches/peers/run.py", "--out", "DEEP", "--venvs=ELSE", "--rounds", "2"], f"no folders of this machine: {words}")
        expect("| heu-ou 3 | 3072 | 128 bits | product: wrong |" in text, "an error is a row without a time")
        write_whole(folder / "x.csv", as_csv(rows))
        with open(folder / "x.csv", newline="", encoding="utf-8") as file:
            expect(tables(list(csv.DictReader(file))) == text, "rows survive the file")
    print(f"self-test: {tests} checks passed")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped")
