"""One peer in one process: `python worker.py` reads one order per line from standard input and answers each with one line of JSON.

Orders: {"do": "setup", ...}, {"do": "round", "round": N, ...}, {"do": "quit"}. Every answer of a peer is compared with integer arithmetic;
a step whose answer is wrong is reported as an error without a time.

A peer is a module `peer_NAME.py` with a class `Peer`:

    Peer(job)                                   key generation and whatever is made once per key and model
    encrypt_one(v), decrypt_one(c), add(a, b), multiply(c, w)
    encrypt(pixels), product(ciphertexts), decrypt(results)                       one image
    slots, encrypt_batch(columns), product_batch(c), decrypt_batch(results)       optional: as many images as slots
"""

import gzip
import importlib
import importlib.metadata
import json
import os
import random
import sys
import time
import traceback

#: Operations in one sample of a single-value job.
ITEMS = {"encrypt": 8, "decrypt": 8, "add": 64, "multiply": 64}


class WrongAnswer(Exception):
    """A peer returned something else than integer arithmetic does."""


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def prime_for_slots(least, ring):
    """The smallest prime from `least` on that is 1 modulo twice the ring: it gives one slot per coefficient."""
    step = 2 * ring
    candidate = (least + step - 2) // step * step + 1
    while not is_prime(candidate):
        candidate += step
    return candidate


def read_images(path, count):
    """The first `count` images of an IDX file, each a list of pixels."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        header = file.read(16)
        width = int.from_bytes(header[8:12], "big") * int.from_bytes(header[12:16], "big")
        data = file.read(width * count)
    return [list(data[start : start + width]) for start in range(0, len(data) - width + 1, width)]


def logits(weights, pixels):
    return [sum(w * x for w, x in zip(row, pixels)) for row in weights]


def check(what, actual, expected):
    if list(actual) != list(expected):
        if len(actual) != len(expected):
            raise WrongAnswer(f"{what}: {len(actual)} answers in place of {len(expected)}")
        index = next(i for i, (a, e) in enumerate(zip(actual, expected)) if a != e)
        raise WrongAnswer(f"{what}: answer {index} is {actual[index]}, integer arithmetic says {expected[index]}")


def describe(error):
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


class Timer:
    """Wall time and processor time of all threads of this process, in nanoseconds."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter_ns(), time.process_time_ns()
        return self

    def __exit__(self, *_):
        self.cpu_ns = time.process_time_ns() - self.cpu
        self.wall_ns = time.perf_counter_ns() - self.wall


def row(job, items, *timers):
    return {"job": job, "items": items, "wall_ns": sum(t.wall_ns for t in timers), "cpu_ns": sum(t.cpu_ns for t in timers), "checked": True}


def single_values(peer, rng):
    """Encrypt, decrypt, add, multiply: one value at a time, in a loop."""
    rows = []
    few = [rng.randrange(256) for _ in range(ITEMS["encrypt"])]
    peer.decrypt_one(peer.encrypt_one(1))
    with Timer() as encrypting:
        ciphertexts = [peer.encrypt_one(v) for v in few]
    with Timer() as decrypting:
        answers = [peer.decrypt_one(c) for c in ciphertexts]
    check("encrypt and decrypt", answers, few)
    rows += [row("encrypt", len(few), encrypting), row("decrypt", len(few), decrypting)]

    pairs = [(rng.randrange(len(few)), rng.randrange(len(few))) for _ in range(ITEMS["add"])]
    peer.add(ciphertexts[0], ciphertexts[1])
    with Timer() as adding:
        sums = [peer.add(ciphertexts[i], ciphertexts[j]) for i, j in pairs]
    check("add", [peer.decrypt_one(c) for c in sums], [few[i] + few[j] for i, j in pairs])
    rows.append(row("add", len(pairs), adding))

    factors = [rng.choice([-1, 1]) * rng.randrange(1, 128) for _ in range(ITEMS["multiply"])]
    peer.multiply(ciphertexts[0], -3)
    with Timer() as multiplying:
        products = [peer.multiply(ciphertexts[i % len(few)], w) for i, w in enumerate(factors)]
    check("multiply", [peer.decrypt_one(c) for c in products], [few[i % len(few)] * w for i, w in enumerate(factors)])
    rows.append(row("multiply", len(factors), multiplying))
    return rows


def one_image(peer, weights, pixels):
    with Timer() as encrypting:
        ciphertexts = peer.encrypt(pixels)
    with Timer() as multiplying:
        results = peer.product(ciphertexts)
    with Timer() as decrypting:
        answers = peer.decrypt(results)
    check("product", answers, logits(weights, pixels))
    return [row("product", 1, multiplying), row("image", 1, encrypting, multiplying, decrypting)]


def full_batch(peer, weights, images):
    slots = peer.slots
    columns = [[images[slot % len(images)][pixel] for slot in range(slots)] for pixel in range(len(weights[0]))]
    with Timer() as encrypting:
        ciphertexts = peer.encrypt_batch(columns)
    with Timer() as multiplying:
        results = peer.product_batch(ciphertexts)
    with Timer() as decrypting:
        answers = peer.decrypt_batch(results)
    expected = [logits(weights, pixels) for pixels in images[:slots]]
    if len(answers) != len(weights):
        raise WrongAnswer(f"batch: {len(answers)} classes in place of {len(weights)}")
    for number, answer in enumerate(answers):
        check(f"batch, class {number}", answer, [expected[slot % len(expected)][number] for slot in range(slots)])
    return [row("batch", slots, encrypting, multiplying, decrypting)]


def guarded(names, work):
    """The rows of `work`, or one error row for every job that it stands for."""
    try:
        return work()
    except Exception as error:  # a peer may raise anything; panics of Rust modules are not Exceptions and end the process
        text = str(error) if isinstance(error, WrongAnswer) else describe(error)
        if not isinstance(error, WrongAnswer):
            traceback.print_exc()
        return [{"job": name, "checked": False, "error": text[:200]} for name in names]


def measure(peer, job, order):
    """All jobs of one round."""
    rng = random.Random(order["round"])
    images = job["images"]
    pixels = images[order["round"] % len(images)]
    rows = guarded(list(ITEMS), lambda: single_values(peer, rng))
    rows += guarded(["product", "image"], lambda: one_image(peer, job["weights"], pixels))
    if hasattr(peer, "encrypt_batch") and order.get("batch", True):
        rows += guarded(["batch"], lambda: full_batch(peer, job["weights"], images))
    return rows


def set_up(order):
    job = dict(order)
    job["images"] = read_images(order["images_path"], order["images_count"])
    module = importlib.import_module(order["module"])
    with Timer() as making:
        peer = module.Peer(job)
    version = importlib.metadata.version(module.Peer.distribution) if module.Peer.distribution else ""
    return peer, job, {"version": version, "rows": [row("setup", 1, making)]}


def main():
    # Libraries write to standard output too: answers go to a private copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = job = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "quit":
            break
        try:
            if order["do"] == "setup":
                peer, job, answer = set_up(order)
            else:
                answer = {"rows": measure(peer, job, order)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": describe(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
